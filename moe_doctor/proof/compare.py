"""Is the output right? Three errors against the fp32 reference, and tolerances that are derived.

Where the limit comes from. With u the unit roundoff of the dtype (bf16 2^-8, fp16 2^-11, fp32
2^-24), a correct kernel rounds a value four or five times between exact operands and the output:
the projection before the activation (some kernels), the activation's output, LoRA's shrunk vector,
each expert's output, the sum. Rounding errors are independent, each about 0.42 u in root mean
square, so five of them give about 0.94 u; ReLU2 doubles the relative error of what it squares, at
most 1.6 u in all. The limit is 3 u, plus fp32 accumulation over the depth K in both kernel and
reference, u32 * sqrt(K). Seen on H100 and H200 in bf16: 2.9e-3 to 5.2e-3; the limit is 1.2e-2.

Where the scheme quantizes activations, a value that differs by a rounding may fall into the next
step of the quantized type: with the relative difference d it does so in d / s of the cases, s being
the step, and is off by s then, so the error is sqrt(d * s) in root mean square. s is at most 2^-3
for e4m3; for int8 it is a 127th of the row's largest value, which stays below 16 times its root
mean square, so 2^-3 again. Between engines that round at different places d is about u: the limit
grows by sqrt(u / 8), 2.2e-2 in bf16. fp8 units of sm_90 add with 14 bits, which adds 2^-13 per
step of 32 products, with random signs. Weights alone quantized are rounded once more when they are
unpacked, by 0.42 u in either projection: within 3 u. Seen on an H100 in bf16: weights alone 2.9e-3
to 4.3e-3 (limit 1.2e-2); int8 2.8e-3 to 6.2e-3, fp8 4.1e-3 to 8.8e-3, up to 1.2e-2 where one scale
per expert lets sums stay in the tensor cores, and 2.7e-2 of FlashInfer's CUTLASS kernels, which
round elsewhere (limit 3.4e-2 to 3.6e-2).

nvfp4 activations have steps of 2^-1 at most: sqrt(u / 2). And the e4m3 scale of a group falls into
its next step in d / 2^-3 of the groups, all of whose values are rounded anew then: the format's own
error, about 0.1, in that share of them, 0.1 * sqrt(8 u). The limit is 7.4e-2 in bf16 with both;
derived, and not yet seen on a GPU that has such units.

A whole-output norm lets one wrong token hide among thousands, so a token's own error is limited to
twice that, and one element's to twenty times (elements deviate by up to six standard deviations
over millions of them), both against the token's norm. A token whose reference is much smaller than
its neighbours is measured against a tenth of theirs.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from moe_doctor.core.record import record
from moe_doctor.kernels.schemes import NONE, Scheme, find_scheme

if TYPE_CHECKING:
    from torch import Tensor

UNIT_ROUNDOFF = {"bfloat16": 2.0**-8, "float16": 2.0**-11, "float32": 2.0**-24}
"""Largest relative error of rounding to nearest, per dtype."""

_LARGEST_STEP = 2.0**-3
_E2M1_STEP = 2.0**-1
_E2M1_ERROR = 0.1
_FP8_UNIT_ROUNDOFF = 2.0**-13
_ROW_FACTOR = 2.0
_ELEMENT_FACTOR = 20.0
_SMALL_ROW = 0.1


@record
class Comparison:
    """What `compare` found."""

    relative_error: float
    """||out - ref|| / ||ref||; NaN when an element is not finite."""
    row_error: float
    """The same for the worst token."""
    element_error: float
    """Worst |out - ref| over the root mean square of its token."""
    tolerance: float
    """Limit of `relative_error`."""
    passed: bool
    """Whether all three are within their limits and every element is finite."""
    detail: str
    """What failed, with both numbers; empty when it passed."""


def tolerance(dtype: str, depth: int, scheme: str | Scheme = NONE) -> float:
    """Limit of the relative error for operands of `dtype` and GEMMs of depth up to `depth`."""
    limit = 3 * UNIT_ROUNDOFF[dtype] + UNIT_ROUNDOFF["float32"] * math.sqrt(depth)
    found = find_scheme(scheme) if isinstance(scheme, str) else scheme
    if found.activations == "nvfp4":
        limit += math.sqrt(UNIT_ROUNDOFF[dtype] * _E2M1_STEP)
        limit += _E2M1_ERROR * math.sqrt(UNIT_ROUNDOFF[dtype] / _LARGEST_STEP)
    elif found.quantizes_activations:
        limit += math.sqrt(UNIT_ROUNDOFF[dtype] * _LARGEST_STEP)
    if found.quantizes_activations and found.weights == "fp8":
        limit += _FP8_UNIT_ROUNDOFF * math.sqrt(depth / 32)
    return limit


def compare(
    out: Tensor,  # [T, H], poisoned with NaN before the run
    reference: Tensor,  # [T, H] float32
    *,
    dtype: str,
    depth: int,
    scheme: str | Scheme = NONE,
) -> Comparison:
    """Judge one output; `depth` is the larger of H and I."""
    limit = tolerance(dtype, depth, scheme)
    if out.shape != reference.shape:
        detail = f"output has shape {tuple(out.shape)}; expected {tuple(reference.shape)}"
        return Comparison(math.nan, math.nan, math.nan, limit, passed=False, detail=detail)
    got = out.float()
    bad = int((~got.isfinite()).sum())
    if bad or not bool(reference.isfinite().all()):
        detail = (
            f"{bad} of {got.numel()} elements were not written or are not finite"
            if bad
            else "the reference itself is not finite: the case is too large for its dtype"
        )
        return Comparison(math.nan, math.nan, math.nan, limit, passed=False, detail=detail)
    difference = (got - reference).double()
    norm = float(reference.double().norm())
    error = float(difference.norm()) / norm if norm else float(difference.abs().max())
    rows = reference.double().norm(dim=1)  # [T]
    scale = rows.clamp_min(_SMALL_ROW * float(rows.square().mean().sqrt())).clamp_min(1e-30)
    row_error = float((difference.norm(dim=1) / scale).max())
    rms = scale / math.sqrt(out.shape[1])
    element_error = float((difference.abs().amax(dim=1) / rms).max())
    failures = [
        f"{what} {value:.1e} over its limit {bound:.1e}"
        for what, value, bound in (
            ("relative error", error, limit),
            ("worst token's error", row_error, _ROW_FACTOR * limit),
            ("worst element's error", element_error, _ELEMENT_FACTOR * limit),
        )
        if not value <= bound
    ]
    return Comparison(
        error, row_error, element_error, limit, passed=not failures, detail="; ".join(failures)
    )
