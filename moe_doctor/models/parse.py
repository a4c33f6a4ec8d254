"""config.json -> `ModelSpec`: pure, total, and the only reader of the family tables.

Whatever the input, the answer is a `ModelSpec` or a `ModelError`; a dense model has no MoE layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, ParseNote
from moe_doctor.models.activations import (
    read_activation,
    read_layer_limit,
    read_situ,
)
from moe_doctor.models.attention import read_attention
from moe_doctor.models.beside import read_beside
from moe_doctor.models.draft import draft_layers
from moe_doctor.models.expert_modules import ExpertModules
from moe_doctor.models.families import find_family
from moe_doctor.models.family import EXPERT_KEYS, HIDDEN_KEYS, TOP_K_KEYS, WIDTH_KEYS, Family
from moe_doctor.models.fields import MAX_LAYERS, Fields, describe_keys, show
from moe_doctor.models.quantization import Declaration, read_declaration
from moe_doctor.models.sections import Sections, find_sections
from moe_doctor.models.widths import read_widths

UNKNOWN = Family(name="unknown", model_types=())
"""The row of a family that no table has: standard keys and rules."""

DTYPES = {"half": "float16", "float": "float32", "bf16": "bfloat16", "fp16": "float16"}
_MTP_KEYS = ("num_nextn_predict_layers", "num_mtp_modules", "mtp_num_hidden_layers")


def parse_model(
    config: Mapping[str, Any],
    *,
    id: str,
    source: str,
    revision: str | None = None,
    hf_quant_config: Mapping[str, Any] | None = None,
) -> ModelSpec:
    """Understand one config.json (and hf_quant_config.json, where the checkpoint has one).

    Raises `ModelError`, listing the keys seen, when it cannot be understood.
    """
    if not isinstance(config, Mapping):
        raise ModelError(f"config.json holds {show(config)}; expected an object")
    if hf_quant_config is not None and not isinstance(hf_quant_config, Mapping):
        raise ModelError(f"hf_quant_config.json holds {show(hf_quant_config)}; expected an object")
    sections = find_sections(config)
    if not (sections.model_types or sections.architectures) and not _looks_like_model(sections):
        raise ModelError(
            f"config.json does not describe a model; {describe_keys(config)}",
            "name a directory, a config.json or a Hugging Face id of a language model",
        )
    family = find_family(sections.model_types, sections.architectures)
    row = family or UNKNOWN
    fields = _section_fields(sections, row)
    count = _count_layers(fields, row)
    declaration = read_declaration(sections, hf_quant_config)
    modules = ExpertModules(row.block, nested=len(sections.chain) > 1)
    groups = _expert_layers(fields, row, count, declaration, modules, known=family is not None)
    notes = _model_notes(sections, fields, family, declaration, modules) if groups else []
    notes += _routing_notes(groups)
    announced = fields.integer(*_MTP_KEYS, maximum=MAX_LAYERS)
    drafts = row.draft_count if announced is None else announced
    return ModelSpec(
        id=id,
        source=source,
        architecture=sections.architecture,
        model_type=sections.model_types[-1] if sections.model_types else "",
        moe_layers=groups,
        dtype=_dtype(sections) or "bfloat16",
        num_layers=count,
        num_mtp_layers=drafts,
        text_architecture=_text_architecture(sections, row),
        mtp_declared=announced is not None,
        draft_layers=draft_layers(row, fields, groups, count, drafts, declaration),
        own_config=sections.has_own_config,
        attention=read_attention(sections.text),
        beside=read_beside(sections),
        widths=read_widths(sections),
        revision=revision,
        notes=tuple(notes),
        declared=None if declaration is None else declaration.spec,
    )


def _text_architecture(sections: Sections, row: Family) -> str:
    """Class of the nested language model: what it says, or its family's (0.33 with_hf_config)."""
    if len(sections.chain) == 1:
        return ""
    if sections.text.get("architectures"):
        return sections.architectures[0]
    return next((name for name in row.architectures if name.endswith("ForCausalLM")), "")


def _looks_like_model(sections: Sections) -> bool:
    return any(sections.text.get(key) is not None for key in (*HIDDEN_KEYS, *EXPERT_KEYS))


def _section_fields(sections: Sections, row: Family) -> Fields:
    """The language model's keys, with those of the family's nested object on top."""
    fields = Fields(sections.text, row.defaults)
    return fields.overlay(fields.section(row.section)) if row.section else fields


def _count_layers(fields: Fields, row: Family) -> int:
    count = row.count(fields) if row.count is not None else None
    if count is None:
        count = fields.integer(*row.layer_count, maximum=MAX_LAYERS)
    if count is None:
        return 0
    if count > MAX_LAYERS:
        raise ModelError(f"the model has {count} layers; expected at most {MAX_LAYERS}")
    return count


def _expert_layers(
    fields: Fields,
    row: Family,
    count: int,
    declaration: Declaration | None,
    modules: ExpertModules,
    *,
    known: bool,
) -> tuple[MoELayers, ...]:
    """Group the layers that have experts by their geometry, in order of first layer."""
    if row.view is None and not _has_experts(fields, row, known=known):
        return ()
    if count == 0:
        fields.required("number of layers", *row.layer_count)
    grouped: dict[MoESpec, list[int]] = {}
    for layer in row.layers(fields, count):
        view = row.view(fields, layer) if row.view is not None else fields
        if not _has_experts(view, row, known=True):
            continue
        for bank in row.banks(view) if row.banks is not None else (view,):
            spec = _layer_spec(bank, row, layer, declaration, modules)
            grouped.setdefault(spec, []).append(layer)
            fields.assumed |= bank.assumed
    return tuple(MoELayers(spec, tuple(layers)) for spec, layers in grouped.items())


def _has_experts(fields: Fields, row: Family, *, known: bool) -> bool:
    """Whether the section has more than one expert to choose from."""
    found = fields.find(*row.experts)
    if found is None:
        suspects = () if known else _expert_keys(fields.values)
        if suspects:
            raise ModelError(
                f"the model has experts ({', '.join(suspects)}) in keys that are not known; "
                f"{describe_keys(fields.values)}",
                "give num_experts, num_experts_per_tok and moe_intermediate_size with "
                "--hf-overrides",
            )
        return False
    if isinstance(found[1], (list, tuple)) and (row.banks or row.view):
        return any(item not in (0, 1, None) for item in found[1])
    return fields.integer_or(0, *row.experts) > 1


def _expert_keys(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys that speak of experts with a number above one: signs of a layout not known here."""
    return tuple(
        show(key).strip("'")
        for key, value in values.items()
        if "expert" in str(key).lower()
        and isinstance(value, int)
        and not isinstance(value, bool)
        and value > 1
    )[:8]


def _layer_spec(
    fields: Fields,
    row: Family,
    layer: int,
    declaration: Declaration | None,
    modules: ExpertModules,
) -> MoESpec:
    if row.activation is None:
        activation = read_activation(fields)[0]
    elif isinstance(row.activation, str):
        activation = row.activation
    else:
        activation = row.activation(fields, layer)
    limit = fields.number(0.0, "swiglu_limit") if row.swiglu_limit else 0.0
    if row.swiglu_limits:
        limit = read_layer_limit(fields, row.swiglu_limits, layer)
    return MoESpec(
        num_experts=fields.required("number of experts", *row.experts),
        top_k=fields.required("number of experts per token", *row.top_k, *TOP_K_KEYS),
        hidden_size=fields.required("hidden size", *row.hidden, *HIDDEN_KEYS),
        intermediate_size=fields.required("expert width", *row.width, *WIDTH_KEYS),
        activation=activation,
        gated=row.gated,
        num_shared_experts=row.shared(fields),
        has_bias=row.has_bias,
        routing=row.routing(fields, layer),
        quantization=None if declaration is None else declaration.for_layer(modules, layer),
        swiglu_limit=limit if limit > 0 else None,
        situ_betas=read_situ(fields) if activation == "situ" else None,
    )


def _model_notes(
    sections: Sections,
    fields: Fields,
    family: Family | None,
    declaration: Declaration | None,
    modules: ExpertModules,
) -> list[ParseNote]:
    """What was assumed about a model that has experts."""
    notes = []
    if family is None:
        name = sections.model_types[-1] if sections.model_types else sections.architecture
        notes.append(
            ParseNote(
                "unknown-family",
                f"{show(name)} is not a family that moe-doctor knows; "
                "its experts were read from the standard keys",
            )
        )
    geometry = sorted(fields.assumed & {*EXPERT_KEYS, *TOP_K_KEYS, *HIDDEN_KEYS, *WIDTH_KEYS})
    if geometry:
        values = ", ".join(f"{key} = {fields.defaults[key]}" for key in geometry)
        notes.append(
            ParseNote("assumed-default", f"config.json leaves out {values}; the family's default")
        )
    if not read_activation(fields)[1] and (family is None or family.activation is None):
        notes.append(
            ParseNote(
                "unknown-activation",
                f"the activation {show(read_activation(fields)[0])} is not one that is known",
            )
        )
    if _dtype(sections) is None:
        notes.append(ParseNote("assumed-dtype", "config.json names no dtype; bfloat16 was assumed"))
    if declaration is not None and declaration.note is not None:
        notes.append(declaration.note)
    if modules.skipped:
        notes.append(
            ParseNote(
                "skipped-pattern",
                f"{len(modules.skipped)} expressions of the ignore list were not tried, "
                f"such as {show(modules.skipped[0])}",
            )
        )
    return notes


def _routing_notes(groups: tuple[MoELayers, ...]) -> list[ParseNote]:
    """Layers whose tokens ask for more experts than there are."""
    notes = []
    for layers in groups:
        top_k, experts = layers.spec.top_k, layers.spec.num_experts
        if top_k > experts:
            message = f"{layers.count} layers pick {top_k} experts per token and have {experts}"
            notes.append(ParseNote("top-k-above-experts", message))
    return notes


def _dtype(sections: Sections) -> str | None:
    """Dtype of unquantized weights, without the `torch.` prefix."""
    value = sections.first("dtype", "torch_dtype")
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 40:
        raise ModelError(f"dtype is {show(value)}; expected a name such as bfloat16")
    name = value.removeprefix("torch.")
    return DTYPES.get(name, name)
