"""Humming: grouped GEMMs generated for each weight format (humming-kernels)."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.activation_sets import APPLIED_0_21, APPLIED_0_28
from moe_doctor.backends.constraints import Activations, Device, Format, NoLoRA, NotBatchInvariant
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.schemes import Pair, integer_groups, pairs, schemes
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record

_SOURCE = "fused_moe/experts/fused_humming_moe.py"
_INDEXED, _GROUPED, _MASKED = "indexed", "grouped_contiguous", "grouped_masked"


@record
class GemmType:
    """One class for each way to lay out the tokens; VLLM_HUMMING_MOE_GEMM_TYPE picks one."""

    name: str
    """What this class does: `indexed`, `grouped_contiguous` or `grouped_masked`."""
    grouped_for_ep: bool = False
    """Whether expert parallelism prefers `grouped_contiguous` (from 0.30.0)."""
    terse: bool = False
    """Whether the reason names no types (until 0.24.0)."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when another type is preferred."""
        preferred, why = self._preferred(situation)
        if preferred == self.name:
            return None
        engine = f"preferred gemm type {preferred} != supported gemm type {self.name}"
        return Rejection(
            "preferred gemm type mismatched" if self.terse else engine,
            f"does {self.name} GEMMs; vLLM prefers {preferred} here ({why})",
        )

    def _preferred(self, situation: Situation) -> tuple[str, str]:
        """get_humming_moe_gemm_type() and what decided it."""
        wanted = situation.facts.humming_gemm
        if self.grouped_for_ep:
            if wanted and wanted != "auto":
                return _GROUPED if wanted == "grouped" else wanted, _VARIABLE
            if situation.query.parallel.use_ep:
                return _GROUPED, "expert parallelism is on"
            return _INDEXED, "expert parallelism is off"
        if wanted in ("grouped", _GROUPED):
            return _GROUPED, _VARIABLE
        return _INDEXED, _VARIABLE if wanted else "its default"


_VARIABLE = "VLLM_HUMMING_MOE_GEMM_TYPE"


@record
class TerseFormat:
    """The activation format as 0.21.0 to 0.24.0 word it."""

    name: str
    """`standard` or `batched`."""

    stage: ClassVar[int] = 10

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the dispatch hands over the other format."""
        given = situation.activation_format
        if given == self.name:
            return None
        return Rejection(
            "activation_format mismatched",
            f"takes the {self.name} activation format; the dispatch hands over {given}",
        )


_FP8 = "kFp8DynamicTokenSym"
_FP8_GROUP = "kFp8Dynamic128Sym"
_TENSOR = "kFp8StaticTensorSym"
_ANY_FLOAT = (
    "kMxfp4Static",
    "kNvfp4Static",
    "kMxfp8Static",
    "kFp8StaticChannelSym",
    "kFp8Static128BlockSym",
    "kFp8StaticTensorSym",
    "kInt4Static",
    "kInt8Static",
)
_PAIRS_0_25: tuple[Pair, ...] = (
    *((weight, activation) for weight in _ANY_FLOAT for activation in (None, _FP8)),
    ("kMxfp4Static", "kMxfp4Dynamic"),
    ("kMxfp4Static", "kMxfp8Dynamic"),
    ("kFp8StaticChannelSym", _TENSOR),
    ("kFp8StaticChannelSym", _FP8_GROUP),
    ("kFp8StaticTensorSym", _TENSOR),
    ("kFp8StaticTensorSym", _FP8_GROUP),
    ("kFp8Static128BlockSym", _FP8_GROUP),
    ("kInt8StaticChannelSym", None),
    ("kInt8StaticChannelSym", "kInt8DynamicTokenSym"),
    ("kNvfp4Static", "kNvfp4Dynamic"),
    ("kMxfp8Static", "kMxfp8Dynamic"),
)
# _is_supported_wna16_weight_key takes these by their shape; MXFP4's uint8 passes too.
_INTEGERS = ("kInt4Static32", "kInt4Static32Asym", "kMxfp4Static")
_PAIRS_0_29: tuple[Pair, ...] = (
    *_PAIRS_0_25,
    ("kMxfp4Static", _FP8_GROUP),
    *((weight, activation) for weight in _INTEGERS for activation in (None, _FP8)),
)
_PAIRS_0_31: tuple[Pair, ...] = (
    *_PAIRS_0_29,
    *((weight, "kInt8DynamicTokenSym") for weight in _INTEGERS),
    # a scale per token counts as the static one
    ("kNvfp4Static", "kNvfp4DynamicToken"),
)


def _rows(gemm: str, layout: str) -> tuple[Row, ...]:
    """0.21.0 to 0.24.0 ask for the format and the GEMM type alone."""
    batched = layout == "batched"
    early = () if batched else (row(GemmType(gemm, terse=True), until="0.24.0"),)
    return (
        row(TerseFormat(layout), until="0.24.0"),
        *early,
        row(Device(("cuda",), minimum=(7, 5), feature="humming"), since="0.25.0"),
        row(Activations(APPLIED_0_21), since="0.25.0", until="0.27.1"),
        row(Activations(APPLIED_0_28), since="0.28.0"),
        row(schemes(pairs(*_PAIRS_0_25)), since="0.25.0", until="0.28.0"),
        row(
            schemes(pairs(*_PAIRS_0_29), integer_groups(None, _FP8)),
            since="0.29.0",
            until="0.30.0",
        ),
        row(
            schemes(pairs(*_PAIRS_0_31), integer_groups(None, _FP8, "kInt8DynamicTokenSym")),
            since="0.31.0",
        ),
        row(Format(layout), since="0.25.0"),
        row(NotBatchInvariant(), since="0.25.0", until="0.27.1"),
        row(NoLoRA(), since="0.25.0"),
        row(GemmType(gemm), since="0.25.0", until="0.29.0"),
        row(GemmType(gemm, grouped_for_ep=True), since="0.30.0"),
    )


HUMMING_KERNELS = (
    # No release prefers `grouped_masked`: from 0.25.0 this class never fits.
    Kernel("BatchedHummingGroupedExperts", _SOURCE, _rows(_MASKED, "batched")),
    Kernel("HummingGroupedExperts", _SOURCE, _rows(_GROUPED, "standard")),
    Kernel("HummingIndexedExperts", _SOURCE, _rows(_INDEXED, "standard")),
)
