"""Which decoder layers have experts: the rules that config files use, as small functions.

Each rule takes the section and the number of layers, and returns layer numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from moe_doctor.core.errors import ModelError
from moe_doctor.models.fields import MAX_LAYERS, Fields, as_integer, show

SPARSE_WORDS = frozenset({"sparse", "moe", "hash_moe"})
"""Entries of a per-layer list of words that mean experts."""

DENSE_FIRST_KEYS = ("first_k_dense_replace", "num_dense_layers", "n_dense_layers")


def all_layers(fields: Fields, count: int) -> Collection[int]:
    """Every layer."""
    del fields
    return range(count)


def standard_layers(fields: Fields, count: int) -> Collection[int]:
    """The common keys together, each where present.

    A per-layer list decides alone; otherwise dense-first layers, a frequency, and Qwen's
    step with its list of dense exceptions all have to agree.
    """
    listed = listed_layers(fields, count)
    if listed is not None:
        return listed
    chosen = set(stepped_layers(fields, count))
    first = fields.integer_or(0, *DENSE_FIRST_KEYS)
    every = fields.integer_or(1, "moe_layer_freq", "moe_layer_frequency", minimum=1)
    return [layer for layer in sorted(chosen) if layer >= first and layer % every == 0]


def listed_layers(fields: Fields, count: int) -> Collection[int] | None:
    """`mlp_layer_types` of words, or `moe_layer_freq` of 0 and 1; None when neither is a list."""
    words = fields.items("mlp_layer_types")
    if words is not None:
        return [n for n, word in enumerate(words[1][:count]) if is_sparse_word(words[0], word)]
    found = fields.find("moe_layer_freq")
    if found is not None and isinstance(found[1], (list, tuple)):
        marks = [as_integer("moe_layer_freq", mark, minimum=0, maximum=1) for mark in found[1]]
        if len(marks) < count:
            raise ModelError(f"moe_layer_freq has {len(marks)} entries; expected {count} layers")
        return [layer for layer in range(count) if marks[layer]]
    return None


def is_sparse_word(name: str, word: object) -> bool:
    """Whether an entry such as `sparse` or `moe` means experts."""
    if not isinstance(word, str):
        raise ModelError(f"{name} holds {show(word)}; expected words such as dense and sparse")
    return word in SPARSE_WORDS


def stepped_layers(fields: Fields, count: int) -> Collection[int]:
    """Qwen: every `decoder_sparse_step`-th layer, but not those in `mlp_only_layers`."""
    step = fields.integer_or(1, "decoder_sparse_step", minimum=1)
    dense = set(fields.integers("mlp_only_layers", maximum=MAX_LAYERS) or ())
    return [layer for layer in range(count) if layer not in dense and (layer + 1) % step == 0]


def after_dense(default: int = 0) -> Callable[[Fields, int], Collection[int]]:
    """Layers from `first_k_dense_replace` on, every `moe_layer_freq`-th by absolute number."""

    def rule(fields: Fields, count: int) -> Collection[int]:
        listed = listed_layers(fields, count)
        if listed is not None:
            return listed
        first = fields.integer_or(default, *DENSE_FIRST_KEYS)
        every = fields.integer_or(1, "moe_layer_freq", minimum=1)
        return [layer for layer in range(count) if layer >= first and layer % every == 0]

    return rule


def numbered_layers(fields: Fields, count: int) -> Collection[int]:
    """GLM-5 on DeepSeek's class: the two numbers where the config has one, else the words."""
    if fields.find(*DENSE_FIRST_KEYS) is None:
        return after_dense()(fields, count)
    first = fields.integer_or(0, *DENSE_FIRST_KEYS)
    every = fields.integer_or(1, "moe_layer_freq", minimum=1)
    return [layer for layer in range(count) if layer >= first and layer % every == 0]


def interleaved_layers(fields: Fields, count: int) -> Collection[int]:
    """Llama 4: `moe_layers` by number, or every `interleave_moe_layer_step`-th; 0 = none."""
    named = fields.integers("moe_layers", maximum=MAX_LAYERS)
    if named is not None:
        return [layer for layer in sorted(set(named)) if layer < count]
    step = fields.integer_or(1, "interleave_moe_layer_step")
    return [n for n in range(count) if step and (n + 1) % step == 0]


def periodic_layers(fields: Fields, count: int) -> Collection[int]:
    """Jamba: layers at `expert_layer_offset` within every `expert_layer_period`."""
    period = fields.integer_or(2, "expert_layer_period", minimum=1)
    offset = fields.integer_or(1, "expert_layer_offset")
    return [layer for layer in range(count) if layer % period == offset]


def frequency_layers(fields: Fields, count: int) -> Collection[int]:
    """Arctic: every `moe_layer_frequency`-th layer, counted from one."""
    every = fields.integer_or(1, "moe_layer_frequency", "moe_layer_freq", minimum=1)
    return [layer for layer in range(count) if (layer + 1) % every == 0]


def window_layers(fields: Fields, count: int) -> Collection[int]:
    """ERNIE: from start to end index (-1 = last), every interval-th counted from one."""
    listed = listed_layers(fields, count)
    if listed is not None:
        return listed
    start = min(_bounds(fields, "moe_layer_start_index", 0, count))
    last = max(_bounds(fields, "moe_layer_end_index", count - 1, count))
    every = fields.integer_or(1, "moe_layer_interval", minimum=1)
    if not fields.flag(True, "use_moe"):
        return []
    return [n for n in range(count) if (n + 1) % every == 0 and start <= n <= last]


def enumerated_layers(fields: Fields, count: int) -> Collection[int]:
    """Step: `moe_layers_enum`, numbers joined by commas; all but the first when absent."""
    listed = listed_layers(fields, count)
    if listed is not None:
        return listed
    text = fields.text("moe_layers_enum")
    if text is None:
        return range(1, count)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isascii() and part.isdigit() and len(part) < 6 for part in parts):
        raise ModelError(f"moe_layers_enum is {show(text)}; expected layer numbers and commas")
    return [layer for layer in sorted({int(part) for part in parts}) if layer < count]


def _bounds(fields: Fields, name: str, default: int, count: int) -> list[int]:
    """An index or a list of them (one per modality), with -1 meaning the last layer."""
    found = fields.find(name)
    if found is None:
        return [default]
    values = found[1] if isinstance(found[1], (list, tuple)) and found[1] else [found[1]]
    numbers = [as_integer(name, value, minimum=-1, maximum=MAX_LAYERS) for value in values]
    return [count - 1 if number == -1 else number for number in numbers]
