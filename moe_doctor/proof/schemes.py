"""From an engine's formats, or a checkpoint's declaration, to the scheme that a proof runs: pure.

The engine's question says it best (`QuantQuery`: its names of both formats). Where it names none
(an engine that refused before it asked, MXFP4's oracle, which settles the formats itself), the
checkpoint's declaration is read, for the methods that say enough.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.spec import QuantSpec
from moe_doctor.kernels.schemes import NONE, find_scheme

_PAIRS = {
    (None, None): NONE,
    ("kFp8StaticTensorSym", "kFp8StaticTensorSym"): "fp8_tensor_static",
    ("kFp8StaticTensorSym", "kFp8DynamicTensorSym"): "fp8_tensor",
    ("kFp8StaticTensorSym", "kFp8DynamicTokenSym"): "fp8_tensor_token",
    ("kFp8StaticChannelSym", "kFp8DynamicTokenSym"): "fp8_channel",
    ("kFp8Static128BlockSym", "kFp8Dynamic128Sym"): "fp8_block_128x128",
    ("kInt8StaticChannelSym", "kInt8DynamicTokenSym"): "int8_channel",
    ("kInt8StaticChannelSym", None): "int8_weight_channel",
    ("kMxfp4Static", None): "mxfp4",
    # Where the kernel quantizes activations as well, its adapter says so.
    ("kNvfp4Static", None): "nvfp4",
    ("kNvfp4Static", "kNvfp4Dynamic"): "nvfp4",
}
# As vLLM prints a key that it has no constant for.
_REFINED = re.compile(
    r"QuantKey\(f8e4m3fn,scale\(f32,static,GroupShape\(row=(\d+), col=(\d+)\)\).*"
)
_GROUPED = re.compile(r"kInt(4|8)Static(32)?(Asym)?")


class Found(NamedTuple):
    """A scheme, or why there is none."""

    scheme: str | None
    """Name of `moe_doctor.kernels.schemes`."""
    reason: str = ""
    """What the layer has instead, and what proofs have."""


def scheme_of(quantization: QuantSpec | None, quant: QuantQuery | None) -> Found:
    """The scheme of a layer declared as `quantization` that the engine asks about as `quant`."""
    if quant is not None and quant.weight_key is not None:
        return _from_keys(quant)
    if quantization is None:
        return Found(NONE)
    name = _declared(quantization)
    if name is not None:
        return Found(name)
    words = " ".join(filter(None, (quantization.method, quantization.algorithm)))
    return Found(None, f"the experts are stored as {words}; proofs have no weights of that format")


def _from_keys(quant: QuantQuery) -> Found:
    weight, activation = quant.weight_key, quant.activation_key
    name = _PAIRS.get((weight, activation))
    if name is not None:
        return Found(name)
    refined = _REFINED.fullmatch(weight or "")
    if refined is not None and activation == "kFp8Dynamic128Sym":
        return _checked(f"fp8_block_{refined[1]}x{refined[2]}")
    if _GROUPED.fullmatch(weight or "") and activation is None:
        if quant.desc_act:
            return Found(None, "columns are reordered across groups; proofs keep their order")
        return _checked(_integers(quant.bits, quant.group_size, quant.symmetric))
    pair = f"{weight} weights with {activation or 'plain'} inputs"
    return Found(None, f"the experts have {pair}; proofs have no such scheme")


def _checked(name: str | None) -> Found:
    try:
        return Found(find_scheme(name or "").name)
    except ValueError as error:
        return Found(None, f"proofs have no such scheme: {error}")


def _integers(bits: int, group: int, symmetric: bool) -> str | None:
    if bits not in (4, 8) or (bits == 8 and not symmetric):
        return None
    size = "channel" if group <= 0 else f"g{group}"
    return f"{'int4' if bits == 4 else 'int8_weight'}_{size}{'' if symmetric else '_zeros'}"


def _declared(quantization: QuantSpec) -> str | None:
    """The scheme of a declaration, for the commonest methods."""
    method, algorithm = quantization.method, quantization.algorithm
    details: Mapping[str, Any] = quantization.details
    try:
        if algorithm == "MXFP4" or method in ("mxfp4", "gpt_oss_mxfp4"):
            return "mxfp4"
        if method in ("modelopt_fp4", "modelopt") and algorithm == "NVFP4":
            return "nvfp4"
        if method == "fp8":
            return _declared_fp8(details)
        if method == "experts_int8":
            return "int8_weight_channel"
        if method in ("modelopt", "modelopt_fp8"):
            return "fp8_tensor_static" if algorithm in (None, "FP8") else None
        if method.startswith(("gptq", "auto_gptq")) and not details.get("desc_act"):
            integers = _integers(details["bits"], details["group_size"], details.get("sym", True))
            return _checked(integers).scheme
        if method.startswith("awq"):
            group = details.get("group_size", details.get("q_group_size"))
            return _checked(_integers(4, group or -1, not details.get("zero_point", True))).scheme
        if method == "compressed-tensors":
            return _declared_group(next(iter(details["config_groups"].values())))
    except (KeyError, TypeError, AttributeError, StopIteration):
        return None  # a declaration of the wrong shape: the oracle's answer says which
    return None


def _declared_fp8(details: Mapping[str, Any]) -> str | None:
    block = details.get("weight_block_size")
    if block is not None:
        return _checked(f"fp8_block_{block[0]}x{block[1]}").scheme
    return "fp8_tensor_static" if details.get("activation_scheme") == "static" else "fp8_tensor"


def _declared_group(group: Mapping[str, Any]) -> str | None:
    weights, inputs = group["weights"], group.get("input_activations")
    strategy, bits = weights.get("strategy"), weights.get("num_bits")
    if weights.get("type") == "float" and bits == 8 and inputs is not None:
        if strategy == "block":
            rows, columns = weights["block_structure"]
            return _checked(f"fp8_block_{rows}x{columns}").scheme
        if strategy == "channel":
            return "fp8_channel"
        if strategy == "tensor":
            return "fp8_tensor" if inputs.get("dynamic") else "fp8_tensor_static"
    if weights.get("type") == "int":
        if inputs is not None:
            return "int8_channel" if bits == 8 and strategy == "channel" else None
        name = _integers(bits, weights.get("group_size") or -1, weights.get("symmetric", True))
        return _checked(name).scheme
    return None
