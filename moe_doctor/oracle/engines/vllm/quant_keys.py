"""How vLLM prints its QuantKey constants: they stand in its reasons.

Source: quantization/utils/quant_utils.py, class QuantKey. Until 0.26.0 printing an integer key
raises KeyError (the dtype has no abbreviation in torch), so a reason about one ends the oracle.
"""

from __future__ import annotations

import re
from functools import lru_cache

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release

_FP8 = "f8e4m3fn"


def _key(dtype: str, scale: str, symmetry: str = "symmetric", scale2: str = "") -> str:
    second = f",scale2({scale2})" if scale2 else ""
    return f"QuantKey({dtype},scale({scale}){second},{symmetry})"


def _group(row: int, col: int) -> str:
    return f"GroupShape(row={row}, col={col})"


_TEXTS = {
    "kFp8StaticTensorSym": _key(_FP8, "f32,static,per_tensor"),
    "kFp8DynamicTensorSym": _key(_FP8, "f32,dynamic,per_tensor"),
    "kFp8StaticTokenSym": _key(_FP8, "f32,static,per_token"),
    "kFp8StaticChannelSym": _key(_FP8, "f32,static,per_channel"),
    "kFp8DynamicTokenSym": _key(_FP8, "f32,dynamic,per_token"),
    "kFp8Dynamic64Sym": _key(_FP8, f"f32,dynamic,{_group(1, 64)}"),
    "kFp8Dynamic128Sym": _key(_FP8, f"f32,dynamic,{_group(1, 128)}"),
    "kFp8Static128BlockSym": _key(_FP8, f"f32,static,{_group(128, 128)}"),
    "kFp8Static128BlockE8M0Sym": _key(_FP8, f"f8e8m0fnu,static,{_group(128, 128)}"),
    "kNvfp4Dynamic": _key("u8", f"{_FP8},dynamic,{_group(1, 16)}", scale2="f32,static,per_tensor"),
    "kNvfp4DynamicToken": _key(
        "u8", f"{_FP8},dynamic,{_group(1, 16)}", scale2="f32,dynamic,per_token"
    ),
    "kNvfp4Static": _key("u8", f"{_FP8},static,{_group(1, 16)}", scale2="f32,static,per_tensor"),
    "kMxfp8Static": _key(_FP8, f"u8,static,{_group(1, 32)}"),
    "kMxfp8Dynamic": _key(_FP8, f"u8,dynamic,{_group(1, 32)}"),
    "kMxfp4Static": _key("u8", f"u8,static,{_group(1, 32)}"),
    "kMxfp4Dynamic": _key("u8", f"u8,dynamic,{_group(1, 32)}"),
    "kMxfp6E3M2Static": _key("float6_e3m2f", f"u8,static,{_group(1, 32)}"),
    "kMxfp6E3M2Dynamic": _key("float6_e3m2f", f"u8,dynamic,{_group(1, 32)}"),
    "kMxfp6E2M3Static": _key("float6_e2m3f", f"u8,static,{_group(1, 32)}"),
    "kMxfp6E2M3Dynamic": _key("float6_e2m3f", f"u8,dynamic,{_group(1, 32)}"),
    "kInt8StaticChannelSym": _key("i8", "f32,static,per_channel"),
    "kInt8DynamicTokenSym": _key("i8", "f32,dynamic,per_token"),
    "kInt8StaticTensorSym": _key("i8", "f32,static,per_tensor"),
    "kInt8DynamicTensorSym": _key("i8", "f32,dynamic,per_tensor"),
    "kInt8DynamicTokenAsym": _key("i8", "f32,dynamic,per_token", "asymmetric"),
    "kInt8StaticTensorAsym": _key("i8", "f32,static,per_tensor", "asymmetric"),
    "kInt8DynamicTensorAsym": _key("i8", "f32,dynamic,per_tensor", "asymmetric"),
    "kInt8Dynamic32Sym": _key("i8", f"f32,dynamic,{_group(1, 32)}"),
    "kInt4W4A8StaticGroup128Sym": _key("i8", f"bf16,static,{_group(1, 128)}"),
    "kInt4W4A8StaticGroup64Sym": _key("i8", f"bf16,static,{_group(1, 64)}"),
    "kInt4W4A8StaticGroup32Sym": _key("i8", f"bf16,static,{_group(1, 32)}"),
    "kInt4W4A8StaticGroupSym": _key("i8", "bf16,static,per_token"),
    "kInt4W4A8StaticChannelSym": _key("i8", "f32,static,per_channel"),
    "kInt4Static": _key("uint4b8", "f16,static,per_token"),
    "kInt8Static": _key("uint8b128", "f16,static,per_token"),
    "kInt4Static32": _key("uint4b8", f"f16,static,{_group(1, 32)}"),
    "kInt4StaticAsym": _key("uint4", "f16,static,per_token", "asymmetric"),
    "kInt4Static32Asym": _key("uint4", f"f16,static,{_group(1, 32)}", "asymmetric"),
}
_UNPRINTABLE = {
    "kInt4Static": "uint4b8",
    "kInt4Static32": "uint4b8",
    "kInt8Static": "uint8b128",
    "kInt4StaticAsym": "uint4",
    "kInt4Static32Asym": "uint4",
}

# A key that vLLM only describes, with one of those dtypes.
_SCALAR = re.compile(r"QuantKey\((uint\d(?:b\d+)?),")


def key_text(name: str | None) -> str:
    """A key as `str(QuantKey)` prints it; `None` for no key; the name itself when unknown."""
    return "None" if name is None else _TEXTS.get(name, name)


@lru_cache(maxsize=1024)
def pair_text(weight: str | None, activation: str | None, arch: str) -> str:
    """A pair as reasons print it on a device."""
    return f"{key_text_on(weight, arch)}x{key_text_on(activation, arch)}"


@by_era
def scheme_texts(
    weight: str | None, activation: str | None, arch: str, release: Release
) -> tuple[str, str]:
    """A pair as reasons print it, and what printing it raises as KeyError (empty: nothing)."""
    error = unprintable(weight, release) or unprintable(activation, release)
    return pair_text(weight, activation, arch), error or ""


def key_text_on(name: str | None, arch: str) -> str:
    """A key as a device prints it; MI300 has an FP8 type of its own (platforms/rocm.py)."""
    text = key_text(name)
    return text.replace("f8e4m3fn", "f8e4m3fnuz") if arch.startswith("gfx94") else text


def unprintable(name: str | None, release: Release) -> str | None:
    """What `str()` of a key raises as KeyError in this release, or None where it prints."""
    if name is None:
        return None
    dtype = _UNPRINTABLE.get(name)
    if dtype is None and (described := _SCALAR.match(name)):
        dtype = described[1]
    return None if dtype is None or release >= (0, 27, 0) else f"ScalarType.{dtype}"
