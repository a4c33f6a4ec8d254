"""Nemotron-H: Mamba, attention, MLP and expert layers in one pattern; puzzle variants differ
per layer."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from moe_doctor.core.errors import ModelError
from moe_doctor.models.activations import NAMES
from moe_doctor.models.family import Family
from moe_doctor.models.fields import MAX_LAYERS, Fields, show
from moe_doctor.models.routing import routing

_PATTERN_KEYS = ("hybrid_override_pattern", "layers_block_type", "layer_types")


def _words(fields: Fields) -> list[str] | None:
    """One word or letter per layer: `E` or `moe` has experts; None when no pattern is given."""
    blocks = fields.items("block_configs")
    if blocks is not None:
        return [_block_type(block) for block in blocks[1]]
    found = fields.find(*_PATTERN_KEYS)
    if found is None:
        return None
    name, value = found
    if isinstance(value, str):
        # `/` sets off the MTP layers and `|` pipeline stages (Megatron's grammar).
        letters = value.split("/")[0].replace("|", "")
        if len(letters) > MAX_LAYERS or not letters or set(letters) - set("M*-E"):
            raise ModelError(f"{name} is {show(value)}; expected letters of M, E, * and -")
        return list(letters)
    if isinstance(value, (list, tuple)) and all(isinstance(word, str) for word in value):
        return list(value)
    raise ModelError(f"{name} is {show(value)}; expected a pattern of layers")


def _block_type(block: object) -> str:
    if isinstance(block, Mapping) and isinstance(block.get("block_type"), str):
        return str(block["block_type"])
    raise ModelError(f"block_configs holds {show(block)}; expected objects with a block_type")


def pattern_length(fields: Fields) -> int | None:
    """Number of layers that the pattern describes, where there is one."""
    words = _words(fields)
    return None if words is None else len(words)


def _layers(fields: Fields, count: int) -> Collection[int]:
    words = _words(fields)
    if words is None:
        raise ModelError(f"no layer pattern: none of {', '.join(_PATTERN_KEYS)} is set")
    return [layer for layer, word in enumerate(words[:count]) if word in ("E", "moe")]


def _view(fields: Fields, layer: int) -> Fields:
    blocks = fields.items("block_configs")
    return fields if blocks is None else fields.overlay(blocks[1][layer])


def _activation(fields: Fields, layer: int) -> str:
    """The experts' own key; `mamba_hidden_act` is another part's."""
    del layer
    text = fields.text("mlp_hidden_act") or "relu2"
    # vLLM takes the word as it stands (0.33 activation_without_mul), but for this one alias.
    return NAMES[text] if text == "gelu_pytorch_tanh" else text


FAMILIES = (
    Family(
        name="Nemotron-H",
        draft="beside",
        draft_step=2,
        model_types=("nemotron_h", "nemotron_h_puzzle", "nemotron_h_omni"),
        architectures=("NemotronHForCausalLM", "NemotronHPuzzleForCausalLM"),
        count=pattern_length,
        experts=("n_routed_experts", "num_local_experts"),
        hidden=("moe_latent_size", "hidden_size"),
        width=("moe_intermediate_size",),
        layers=_layers,
        view=_view,
        routing=routing(
            scoring="sigmoid", bias=True, grouped=True, default_group=1
        ),  # vLLM 0.33 nemotron_h.py
        activation=_activation,
        gated=False,
        block="mixer.experts",
        defaults={
            "hidden_size": 4096,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 7688,
            "n_shared_experts": 1,
        },
    ),
)
