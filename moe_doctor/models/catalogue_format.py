"""`ModelSpec` <-> the catalogue's facts: our own key names, defaults left out.

One entry is one JSON object; see `moe_doctor/models/catalogue.json` for the shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.spec import (
    AttentionSpec,
    BesideSpec,
    ModelSpec,
    MoELayers,
    MoESpec,
    ParseNote,
    QuantSpec,
    RecurrentSpec,
    RoutingSpec,
)

LONGEST_LIST = 8
"""Lists in a quantization declaration that are longer are left out of the facts."""


def encode(model: ModelSpec) -> dict[str, Any]:
    """Facts of a model as JSON values."""
    facts: dict[str, Any] = {
        "architecture": model.architecture,
        "model_type": model.model_type,
        "dtype": model.dtype,
        "layers": model.num_layers,
    }
    if model.num_mtp_layers:
        facts["mtp_layers"] = model.num_mtp_layers
    if model.mtp_declared != bool(model.num_mtp_layers):
        facts["mtp_declared"] = model.mtp_declared
    if model.text_architecture:
        facts["text_architecture"] = model.text_architecture
    if model.draft_layers:
        facts["draft"] = [_encode_group(group) for group in model.draft_layers]
    if model.own_config:
        facts["own_config"] = True
    attention = _encode_attention(model.attention)
    if attention:
        facts["attention"] = attention
    beside = {name: value for name, value in model.beside._asdict().items() if value}
    if beside:
        facts["beside"] = beside
    facts["moe"] = [_encode_group(group) for group in model.moe_layers]
    if model.notes:
        facts["notes"] = [[note.kind, note.message] for note in model.notes]
    return facts


def decode(id: str, facts: Mapping[str, Any]) -> ModelSpec:
    """The model that `encode` was given, but for long lists in its quantization."""
    return ModelSpec(
        id=id,
        source="catalogue",
        architecture=facts["architecture"],
        model_type=facts["model_type"],
        moe_layers=tuple(_decode_group(group) for group in facts["moe"]),
        dtype=facts["dtype"],
        num_layers=facts["layers"],
        num_mtp_layers=facts.get("mtp_layers", 0),
        mtp_declared=facts.get("mtp_declared", facts.get("mtp_layers", 0) > 0),
        text_architecture=facts.get("text_architecture", ""),
        draft_layers=tuple(_decode_group(group) for group in facts.get("draft", ())),
        own_config=facts.get("own_config", False),
        attention=_decode_attention(facts.get("attention", {})),
        beside=BesideSpec(**facts.get("beside", {})),
        notes=tuple(ParseNote(kind, message) for kind, message in facts.get("notes", ())),
    )


def _encode_attention(attention: AttentionSpec) -> dict[str, Any]:
    facts: dict[str, Any] = {
        name: value
        for name, value in zip(AttentionSpec._fields, attention, strict=True)
        if value and name != "recurrent"
    }
    if attention.recurrent is not None:
        facts["recurrent"] = attention.recurrent._asdict()
    return facts


def _decode_attention(facts: Mapping[str, Any]) -> AttentionSpec:
    recurrent = facts.get("recurrent")
    sizes = {name: value for name, value in facts.items() if name != "recurrent"}
    return AttentionSpec(
        **sizes, recurrent=None if recurrent is None else RecurrentSpec(**recurrent)
    )


def write_layers(layers: tuple[int, ...]) -> str:
    """`(3, 4, 5, 9)` -> `3-5,9`; with a steady step `(1, 3, 5)` -> `1-5/2`."""
    if len(layers) > 2:
        step = layers[1] - layers[0]
        if layers == tuple(range(layers[0], layers[-1] + 1, step)):
            return f"{layers[0]}-{layers[-1]}" + (f"/{step}" if step > 1 else "")
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def read_layers(text: str) -> tuple[int, ...]:
    """What `write_layers` wrote."""
    layers: list[int] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        layers.extend(range(int(first), int(last or first) + 1, int(step or 1)))
    return tuple(layers)


def _encode_group(group: MoELayers) -> dict[str, Any]:
    spec = group.spec
    facts: dict[str, Any] = {
        "layers": write_layers(group.layers),
        "experts": spec.num_experts,
        "top_k": spec.top_k,
        "hidden": spec.hidden_size,
        "intermediate": spec.intermediate_size,
        "activation": spec.activation,
        "gated": spec.gated,
    }
    if spec.num_shared_experts:
        facts["shared"] = spec.num_shared_experts
    if spec.has_bias:
        facts["bias"] = True
    if spec.swiglu_limit is not None:
        facts["swiglu_limit"] = spec.swiglu_limit
    if spec.situ_betas is not None:
        facts["situ_betas"] = list(spec.situ_betas)
    default = RoutingSpec()
    facts["routing"] = {
        name: getattr(spec.routing, name)
        for name in RoutingSpec._fields
        if getattr(spec.routing, name) != getattr(default, name)
    }
    if spec.quantization is not None:
        facts["quantization"] = _encode_quantization(spec.quantization)
    return facts


def _encode_quantization(spec: QuantSpec) -> dict[str, Any]:
    facts: dict[str, Any] = {"method": spec.method, "source": spec.source}
    if spec.algorithm is not None:
        facts["algorithm"] = spec.algorithm
    if spec.ignore and len(spec.ignore) <= LONGEST_LIST:
        facts["ignore"] = list(spec.ignore)
    if spec.rules:
        facts["rules"] = list(spec.rules)
    # A long list leaves its key: that it is there is what a release may insist on.
    facts["details"] = {
        key: value if _is_short(value) else []
        for key, value in spec.details.items()
        if _is_short(value) or isinstance(value, (list, tuple))
    }
    return facts


def _is_short(value: object) -> bool:
    """Whether no list or object inside is longer than `LONGEST_LIST`."""
    if isinstance(value, Mapping):
        return len(value) <= 2 * LONGEST_LIST and all(_is_short(item) for item in value.values())
    if isinstance(value, (list, tuple)):
        return len(value) <= LONGEST_LIST and all(_is_short(item) for item in value)
    return True


def _decode_group(facts: Mapping[str, Any]) -> MoELayers:
    quant = facts.get("quantization")
    spec = MoESpec(
        num_experts=facts["experts"],
        top_k=facts["top_k"],
        hidden_size=facts["hidden"],
        intermediate_size=facts["intermediate"],
        activation=facts["activation"],
        gated=facts["gated"],
        num_shared_experts=facts.get("shared", 0),
        has_bias=facts.get("bias", False),
        swiglu_limit=facts.get("swiglu_limit"),
        situ_betas=tuple(facts["situ_betas"]) if "situ_betas" in facts else None,
        routing=RoutingSpec(**facts["routing"]),
        quantization=None
        if quant is None
        else QuantSpec(
            method=quant["method"],
            algorithm=quant.get("algorithm"),
            ignore=tuple(quant.get("ignore", ())),
            source=quant["source"],
            rules=tuple(quant.get("rules", ())),
            details=quant["details"],
        ),
    )
    return MoELayers(spec, read_layers(facts["layers"]))
