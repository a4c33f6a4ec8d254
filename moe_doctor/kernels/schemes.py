"""How weights and activations are quantized: names and sizes alone, so that no torch is needed.

A scheme's name says it all and travels in plans and reports:

    none                           16- or 32-bit weights and activations
    fp8_tensor_static, fp8_tensor  e4m3 weights, a scale per expert; activations per tensor, by a
                                   stored scale or by their own largest value
    fp8_tensor_token               a scale per expert; activations per token
    fp8_channel                    a scale per row of the weights; activations per token
    fp8_block_128x128              a scale per 128 x 128 block; activations per token and 128
                                   values. Blocks of another size are "refined" ones
    int8_channel                   int8 weights, a scale per row; int8 activations per token
    int8_weight_channel, int8_weight_g128     int8 weights alone
    int4_channel, int4_g128, int4_g128_zeros  4-bit weights alone, by group of columns; zero point 8
                                   or a stored one
    mxfp4                          e2m1 weights alone, a power of two per 32 columns
    nvfp4                          e2m1 weights alone, an e4m3 scale per 16 columns and one per
                                   expert

Source of the kinds: vLLM 0.33 quantization/utils/quant_utils.py (the QuantKey constants).
"""

from __future__ import annotations

import re
from functools import lru_cache

from moe_doctor.core.record import record

NONE = "none"
"""Name of the scheme that is none."""

_NAME = re.compile(
    r"(?P<kind>fp8_block)_(?P<n>\d+)x(?P<k>\d+)"
    r"|(?P<group>int4|int8_weight)_(?:channel|g(?P<size>\d+))(?P<zeros>_zeros)?"
)


@record
class Scheme:
    """One way to store weights, and what happens to activations before each GEMM."""

    name: str
    """As in the module's table."""
    weights: str
    """`plain`, `fp8` (e4m3), `int8`, `int4`, `mxfp4` and `nvfp4` (e2m1, two in a byte)."""
    group_n: int = 0
    """Rows of the weight (outputs) that share a scale; 0 = all."""
    group_k: int = 0
    """Columns of the weight (inputs) that share a scale; 0 = all."""
    activations: str = "plain"
    """`plain`, `static` (a stored scale), `tensor`, `token`, `group` of `group_k` values, or
    `nvfp4` (e2m1 as the weights, with a stored scale beside those of groups)."""
    has_zeros: bool = False
    """Whether every group has a zero point of its own."""
    round_scales: bool = False
    """Whether scales of activations are rounded up to powers of two; our own kernels never do."""
    scale_floor: float = 1e-10
    """Smallest absolute maximum that an activation's scale is made from, so that zeros stay zeros
    (vLLM 0.20 per_token_group_quant_fp8's eps); 0 for a kernel that has none."""

    @property
    def quantizes_activations(self) -> bool:
        """Whether the GEMMs multiply quantized activations."""
        return self.activations != "plain"

    @property
    def bits(self) -> int:
        """Bits of a stored weight; 0 where it is of the activations' own dtype."""
        return {"plain": 0, "fp8": 8, "int8": 8, "int4": 4, "mxfp4": 4, "nvfp4": 4}[self.weights]

    @property
    def values_per_byte(self) -> int:
        """2 where two neighbouring columns share a byte, the first in its low half."""
        return 2 if self.bits == 4 else 1


_FIXED = {
    scheme.name: scheme
    for scheme in (
        Scheme(NONE, "plain"),
        Scheme("fp8_tensor_static", "fp8", activations="static"),
        Scheme("fp8_tensor", "fp8", activations="tensor"),
        Scheme("fp8_tensor_token", "fp8", activations="token"),
        Scheme("fp8_channel", "fp8", group_n=1, activations="token"),
        Scheme("int8_channel", "int8", group_n=1, activations="token"),
        Scheme("mxfp4", "mxfp4", group_n=1, group_k=32),
        Scheme("nvfp4", "nvfp4", group_n=1, group_k=16),
    )
}


@lru_cache(maxsize=64)
def find_scheme(name: str) -> Scheme:
    """The scheme of a name; raises ValueError for one that no rule of the table makes."""
    if name in _FIXED:
        return _FIXED[name]
    found = _NAME.fullmatch(name)
    if found is None or (found["zeros"] and found["group"] != "int4"):
        known = f"{', '.join(_FIXED)}, fp8_block_NxK, int8_weight_channel, int8_weight_gK"
        raise ValueError(
            f"scheme is {name!r}; expected one of {known}, int4_channel, int4_gK, int4_gK_zeros"
        )
    if found["kind"]:
        rows, columns = int(found["n"]), int(found["k"])
        _check_group(name, columns)
        return Scheme(name, "fp8", rows, columns, "group")
    size = int(found["size"] or 0)
    if found["size"]:
        _check_group(name, size)
    weights = found["group"].removesuffix("_weight")
    return Scheme(name, weights, 1, size, has_zeros=bool(found["zeros"]))


def _check_group(name: str, size: int) -> None:
    if size < 16 or size & (size - 1):
        raise ValueError(f"scheme is {name!r}; groups hold a power of two of columns, at least 16")
