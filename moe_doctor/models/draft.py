"""Draft layers that come with a checkpoint: multi-token prediction (MTP) modules with experts.

They have the geometry of the last decoder layer and names of their own, so that an ignore list may
leave them unquantized. Seen by building the drafts of vLLM 0.16 to 0.33 (DeepSeekMTP, Glm4MoeMTP,
Qwen3NextMTP, NemotronHMTP, HYV3MTP, HYV4MTP, KimiK3MTP, BailingMoeV25MTPModel); those of MiMo-V2,
LongCat, EXAONE, Step-3.5 and ERNIE have no experts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from moe_doctor.core.errors import ModelError
from moe_doctor.core.record import replace
from moe_doctor.core.spec import DraftSpec, ModelSpec, MoELayers, MoESpec, ParseNote
from moe_doctor.models.expert_modules import ExpertModules
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.quantization import Declaration

# Methods that bring no layers of a model, or a head beside the served model's own MTP layers.
_WITHOUT_MTP = frozenset(
    {"ngram", "ngram_gpu", "suffix", "eagle", "eagle3", "dflash", "dspark", "custom_class"}
    | {"extract_hidden_states"}
)


class DraftModules(ExpertModules):
    """Names of the experts in a module `mtp` beside the decoder."""

    def names(self, layer: int) -> tuple[str, ...]:
        """Module paths that stand for the experts of one layer of the module."""
        return (f"mtp.layers.{layer}.{self.block}",)


def draft_layers(
    row: Family,
    fields: Fields,
    groups: tuple[MoELayers, ...],
    decoder_layers: int,
    count: int,
    declaration: Declaration | None,
) -> tuple[MoELayers, ...]:
    """The `count` MTP layers behind `decoder_layers` as groups; empty where they have no experts.

    Layer numbers go on after the decoder's.
    """
    if not (row.draft and groups and count):
        return ()
    beside = row.draft == "beside"
    modules = DraftModules(row.block) if beside else ExpertModules(row.block)
    shape = max(groups, key=lambda group: group.layers[-1]).spec
    steps: Iterable[int] = range(count)
    if row.draft == "after":
        try:
            chosen = row.layers(fields, decoder_layers + count)
        except ModelError:
            return ()  # a list with one word per decoder layer says nothing about the draft's
        steps = [step for step in steps if decoder_layers + step in chosen]
    found: dict[MoESpec, list[int]] = {}
    for step in steps:
        # Nemotron-H's module is an attention layer followed by one with experts.
        named = step * row.draft_step + row.draft_step - 1 if beside else decoder_layers + step
        quantization = None if declaration is None else declaration.for_layer(modules, named)
        spec = replace(shape, quantization=quantization)
        found.setdefault(spec, []).append(decoder_layers + step)
    return tuple(MoELayers(spec, tuple(layers)) for spec, layers in found.items())


def with_draft(
    model: ModelSpec, speculative_config: Mapping[str, Any], other: ModelSpec | None = None
) -> ModelSpec:
    """The model as a server with this `--speculative-config` has it.

    Its own MTP layers come among `moe_layers` where it would draft with them. Of another draft (an
    EAGLE head, a smaller model: `other`, where its config is at hand) no layer does.
    """
    if not speculative_config:
        return model
    drafting = read_draft(model, speculative_config)._replace(other=other)
    model = replace(model, drafting=drafting)
    note = ""
    if drafting.model is not None:
        note = (
            f"--speculative-config: the layers of {drafting.model} are not looked at; "
            f"ask about them with moe-doctor select {drafting.model}"
        )
    elif drafting.method in _WITHOUT_MTP or not (drafting.named or _names_mtp(drafting.method)):
        pass
    elif model.draft_layers:
        return replace(model, moe_layers=model.moe_layers + model.draft_layers)
    elif drafting.named and not _names_mtp(drafting.method):
        note = (
            "--speculative-config: the model drafts for itself; the layers that it then has twice "
            "are answered for once"
        )
    else:
        why = "its MTP layers have no experts" if model.num_mtp_layers else "it has no MTP layers"
        note = f"--speculative-config adds no MoE layers: {why}"
    if not note:
        return model
    return replace(model, notes=(*model.notes, ParseNote("no-draft-experts", note)))


def read_draft(model: ModelSpec, speculative_config: Mapping[str, Any]) -> DraftSpec:
    """`--speculative-config` for this model; values of another type than expected are left out."""
    named = _text(speculative_config, "model")
    return DraftSpec(
        method=_text(speculative_config, "method"),
        model=named if named != model.id else None,
        named=named is not None,
        num_tokens=_whole(speculative_config, "num_speculative_tokens"),
        tensor_parallel_size=_whole(speculative_config, "draft_tensor_parallel_size"),
        quantization=_text(speculative_config, "quantization"),
        moe_backend=_text(speculative_config, "moe_backend"),
        keys=tuple(str(key) for key in speculative_config),
    )


def _names_mtp(method: str | None) -> bool:
    return method is not None and (method == "mtp" or method.endswith("_mtp"))


def _text(config: Mapping[str, Any], key: str) -> str | None:
    value = config.get(key)
    return value if isinstance(value, str) else None


def _whole(config: Mapping[str, Any], key: str) -> int | None:
    value = config.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
