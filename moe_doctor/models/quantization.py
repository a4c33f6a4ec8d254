"""How a checkpoint says its weights are stored, and what that means for each expert layer.

Three places declare it, tried in the order of vLLM's ModelConfig: `quantization_config` (outer,
then nested), `compression_config`, and the file hf_quant_config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError
from moe_doctor.core.record import record, replace
from moe_doctor.core.spec import ParseNote, QuantSpec
from moe_doctor.models.expert_modules import ExpertModules
from moe_doctor.models.fields import Fields, show
from moe_doctor.models.sections import Sections

DECLARATION_KEYS = ("quantization_config", "compression_config")
IGNORE_KEYS = (
    "ignore",
    "ignored_layers",
    "modules_to_not_convert",
    "exclude_modules",
    "exclude",
    "llm_int8_skip_modules",
)
"""Lists of modules that stay unquantized, whatever the method calls them."""
_OWN_KEYS = {
    "fp8": ("ignored_layers", "modules_to_not_convert"),
    "awq": ("modules_to_not_convert",),
    "modelopt": ("ignore", "exclude_modules"),
    "modelopt_fp4": ("ignore", "exclude_modules"),
    "modelopt_mixed": ("ignore", "exclude_modules"),
    "modelopt_mxfp8": ("ignore", "exclude_modules"),
    "compressed-tensors": ("ignore",),
    "quark": ("exclude",),
}


@record
class Declaration:
    """One declaration with the spec of a layer that nothing takes out."""

    spec: QuantSpec
    """Method, algorithm and ignore list."""
    raw: Mapping[str, Any]
    """As found, without wrapping."""
    note: ParseNote | None = None
    """What is odd about it."""

    def for_layer(self, modules: ExpertModules, layer: int) -> QuantSpec | None:
        """Spec of the experts of one layer, or None when the declaration leaves them out."""
        rules = modules.rules(self.spec.method, self.spec.ignore, self.raw, layer)
        if rules is None:
            return None
        layers = self.raw.get("quantized_layers")
        if not isinstance(layers, Mapping) or self.raw.get("moe_quant_algo") is not None:
            return replace(self.spec, rules=rules) if rules else self.spec
        entry = modules.entry(layers, layer)
        if entry is None:
            return None
        algorithm = entry.get("quant_algo") if isinstance(entry, Mapping) else None
        return replace(self.spec, algorithm=_upper("quant_algo", algorithm))


def read_declaration(
    sections: Sections, hf_quant_config: Mapping[str, Any] | None
) -> Declaration | None:
    """The checkpoint's declaration, or None when it has none."""
    raw = _declared(sections)
    if raw is not None:
        found: Declaration | None = _from_config(raw, sections)
    else:
        found = None if hf_quant_config is None else _from_file(hf_quant_config)
    if found is None or "jamba" not in sections.model_types or not _is_modelopt(found.spec.method):
        return found
    return replace(found, spec=replace(found.spec, ignore=_flatten(found.spec.ignore)))


def _is_modelopt(method: str) -> bool:
    return method.partition("_")[0] == "modelopt"


def _flatten(entries: tuple[str, ...]) -> tuple[str, ...]:
    """Jamba's attention is part of its layer (jamba.py hf_to_vllm_mapper drops `self_attn`), so
    that a star for what is below attention comes to stand for the whole layer."""
    starred = (f"{entry[:-1]}.*" if entry.endswith("*") else entry for entry in entries)
    found = (entry.replace("..*", ".*") for entry in starred if ".self_attn." in entry)
    return (*entries, *(entry.replace(".self_attn.", ".") for entry in found))


def _declared(sections: Sections) -> Mapping[str, Any] | None:
    for key in DECLARATION_KEYS:
        raw = sections.first(key)
        if raw is None:
            continue
        if not isinstance(raw, Mapping):
            raise ModelError(f"{key} is {show(raw)}; expected an object")
        return raw
    return None


def _from_config(raw: Mapping[str, Any], sections: Sections) -> Declaration:
    fields = Fields(raw)
    producer = _producer(raw)
    method = fields.text("quant_method") or producer
    note = None
    if method is None:
        method = "unknown"
        note = ParseNote(
            "incomplete-quant-config",
            "quantization_config has no quant_method; an engine reads it as unquantized",
        )
    nested = raw.get("quantization")
    inner = {**raw, **nested} if isinstance(nested, Mapping) else raw
    algorithm = inner.get("moe_quant_algo") or inner.get("quant_algo")
    if algorithm is None and method == "compressed-tensors":
        algorithm = raw.get("format")
        algorithm = algorithm.replace("-", "_") if isinstance(algorithm, str) else None
    details = dict(raw)
    expert_dtype = sections.first("expert_dtype")
    if expert_dtype is not None:  # DeepSeek V4: experts of another format than the rest
        details["expert_dtype"] = expert_dtype
        algorithm = algorithm or ("MXFP4" if expert_dtype == "fp4" else None)
    details["producer"] = raw.get("producer")
    spec = QuantSpec(
        method=method.lower(),
        algorithm=_upper("quant_algo", algorithm),
        ignore=_patterns(inner, method.lower()),
        source="config.json",
        details=details,
    )
    return Declaration(spec, inner, note)


def _from_file(raw: Mapping[str, Any]) -> Declaration | None:
    """ModelOpt's own file: {"producer": {...}, "quantization": {...}}."""
    inner = raw.get("quantization", raw)
    if not isinstance(inner, Mapping):
        raise ModelError(f"hf_quant_config.json: quantization is {show(inner)}; expected an object")
    algorithm = _upper("quant_algo", inner.get("quant_algo"))
    if algorithm is None:
        return None
    producer = _producer(raw)
    note = None
    if producer is None:
        note = ParseNote(
            "incomplete-quant-config",
            f"hf_quant_config.json says {algorithm} and names no producer; "
            "vLLM needs the producer to recognise it and runs the model as unquantized",
        )
    details = {**inner, "producer": raw.get("producer")}
    spec = QuantSpec(
        method=(producer or "modelopt").lower(),
        algorithm=algorithm,
        ignore=_patterns(inner, "modelopt"),
        source="hf_quant_config.json",
        details=details,
    )
    return Declaration(spec, inner, note)


def _producer(raw: Mapping[str, Any]) -> str | None:
    producer = raw.get("producer")
    if producer is None:
        return None
    if not isinstance(producer, Mapping):
        raise ModelError(f"producer is {show(producer)}; expected an object")
    return Fields(producer).text("name")


def _patterns(raw: Mapping[str, Any], method: str) -> tuple[str, ...]:
    """The first list that names anything, among those that the method reads."""
    for key in IGNORE_KEYS:
        value = raw.get(key)
        if value is None or isinstance(value, str):
            continue
        if not isinstance(value, (list, tuple)) or not all(isinstance(p, str) for p in value):
            raise ModelError(f"{key} is {show(value)}; expected a list of module patterns")
    for key in _OWN_KEYS.get(method, IGNORE_KEYS):
        value = raw.get(key)
        if value:
            return (value,) if isinstance(value, str) else tuple(value)
    return ()


def _upper(name: str, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > 200:
        raise ModelError(f"{name} is {show(value)}; expected a short string")
    return value.upper()
