"""B12X: FP4 experts for consumer Blackwell (compute capability 12.x), from 0.29.0."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import pairs, schemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record


@record
class B12xLimits:
    """What the class asks before everything else (is_supported_config of fused_moe/b12x.py)."""

    stage: ClassVar[int] = -1

    def rejects(self, situation: Situation) -> Rejection | None:
        """The first of its reasons."""
        query = situation.query
        if query.has_bias:
            return Rejection(
                "kernel does not support expert biases", "has no bias; these experts have one"
            )
        if query.in_dtype not in ("float16", "bfloat16"):
            return Rejection(
                f"kernel does not support torch.{query.in_dtype} input/output dtype",
                f"needs float16 or bfloat16; this layer runs in {query.in_dtype}",
            )
        if query.activation == "situ" and query.situ_betas != (4.0, 25.0):
            return Rejection(
                "kernel supports only SiTU beta=4 and linear_beta=25",
                f"implements SiTU with beta 4 and linear beta 25; here they are {query.situ_betas}",
            )
        weight, activation = _keys(situation)
        if activation is not None and query.activation == "swigluoai_uninterleave":
            return Rejection(
                "kernel does not support swigluoai_uninterleave with W4A8",
                f"takes swigluoai_uninterleave with unquantized inputs only; here {activation}",
            )
        return _shape(situation) if weight == "kMxfp4Static" else None


def _shape(situation: Situation) -> Rejection | None:
    query = situation.query
    shard, hidden = query.intermediate_size_per_partition, query.hidden_size
    if shard % 32:
        return Rejection(
            "MXFP4 requires the per-rank intermediate size to be divisible by 32",
            f"intermediate_size_per_partition is {shard}; needs a multiple of 32",
        )
    if _keys(situation)[1] != "kMxfp8Dynamic":
        return None
    if query.activation not in ("silu", "situ"):
        return Rejection(
            "MXFP4 W4A8 supports only SiLU and SiTU",
            f"with MXFP8 inputs needs silu or situ; this layer has {query.activation}",
        )
    if hidden % 256:
        return Rejection(
            "MXFP4 W4A8 requires hidden size divisible by 256 and per-rank intermediate size "
            "divisible by 32",
            f"hidden_size is {hidden}; with MXFP8 inputs it must be a multiple of 256",
        )
    return None


def _keys(situation: Situation) -> tuple[str | None, str | None]:
    quant = situation.query.quant
    return (None, None) if quant is None else (quant.weight_key, quant.activation_key)


B12X_EXPERTS = Kernel(
    name="B12xExperts",
    source="fused_moe/b12x.py",
    rows=(
        row(B12xLimits()),
        row(Device(("cuda",), majors=(12,), feature="b12x")),
        row(Activations(frozenset({"silu", "situ", "swigluoai_uninterleave", "relu2_no_mul"}))),
        row(
            schemes(
                pairs(
                    ("kMxfp4Static", "kMxfp8Dynamic"),
                    ("kMxfp4Static", None),
                    ("kNvfp4Static", "kNvfp4Dynamic"),
                    ("kNvfp4Static", "kMxfp8Dynamic"),
                    ("kNvfp4Static", None),
                )
            )
        ),
        row(ParallelSizes(refuses_ep=True, refuses_any_all2all=True, refuses_eplb=True)),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)
