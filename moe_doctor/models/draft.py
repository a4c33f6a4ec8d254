"""Draft layers that come with a checkpoint: multi-token prediction (MTP) modules with experts.

They have the geometry of the last decoder layer and names of their own, so that an ignore list may
leave them unquantized. Seen by building the drafts of vLLM 0.33 (DeepSeekMTP, Glm4MoeMTP,
Qwen3NextMTP, NemotronHMTP); those of MiMo-V2, LongCat, EXAONE and ERNIE have no experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.record import replace
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, ParseNote
from moe_doctor.models.expert_modules import ExpertModules
from moe_doctor.models.family import Family
from moe_doctor.models.quantization import Declaration


class DraftModules(ExpertModules):
    """Names of the experts in a module `mtp` beside the decoder."""

    def names(self, layer: int) -> tuple[str, ...]:
        """Module paths that stand for the experts of one layer of the module."""
        return (f"mtp.layers.{layer}.{self.block}",)


def draft_layers(
    row: Family,
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
    found: dict[MoESpec, list[int]] = {}
    for step in range(count):
        # Nemotron-H's module is an attention layer followed by one with experts.
        named = step * row.draft_step + row.draft_step - 1 if beside else decoder_layers + step
        quantization = None if declaration is None else declaration.for_layer(modules, named)
        spec = replace(shape, quantization=quantization)
        found.setdefault(spec, []).append(decoder_layers + step)
    return tuple(MoELayers(spec, tuple(layers)) for spec, layers in found.items())


def with_draft(model: ModelSpec, speculative_config: Mapping[str, Any]) -> ModelSpec:
    """The model with its MTP layers among `moe_layers` where the server would draft with them.

    Other methods (n-gram, EAGLE, a draft model) bring models of their own and change nothing here.
    """
    method = speculative_config.get("method")
    drafts = isinstance(method, str) and (method == "mtp" or method.endswith("_mtp"))
    if not drafts or speculative_config.get("model") is not None:
        return model
    if not model.draft_layers:
        why = "its MTP layers have no experts" if model.num_mtp_layers else "it has no MTP layers"
        note = ParseNote("no-draft-experts", f"--speculative-config adds no MoE layers: {why}")
        return replace(model, notes=(*model.notes, note))
    return replace(model, moe_layers=model.moe_layers + model.draft_layers)
