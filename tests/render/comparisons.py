"""Literal comparisons and matrices, shared by the tests of the formats and of the schemas."""

from __future__ import annotations

from dataclasses import replace

from moe_doctor.checks.comparison import judge_comparison
from moe_doctor.core.comparison import AnswerChange, Cell, CellAnswer, Change, Comparison, Matrix
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import EngineError, Outcome, Selection
from moe_doctor.core.spec import MoELayers
from tests.render.reports import CUTLASS, H100, NANO, NANO_SPEC, TRITON_LORA

SIMULATED = replace(H100, simulated=True)
OLD = Selection(
    0, False, "unquantized", Outcome.SELECTED, "TRITON", "triton", None, runs="TritonExperts"
)
REFUSED = Selection(
    0, True, None, Outcome.ERROR, error=EngineError("ValueError", "LoRA is | not `supported`\nhere")
)
CRASHES = replace(OLD, lora=True, crash=EngineError("AssertionError", ""))


def judged(comparison: Comparison) -> Comparison:
    """With the findings that its answers call for."""
    return replace(comparison, findings=judge_comparison(comparison))


DIFF = judged(
    Comparison(
        model=NANO,
        machine=SIMULATED,
        before=Engine("vllm", "0.19.1"),
        after=Engine("vllm", "0.20.0"),
        answers=(
            AnswerChange(
                OLD,
                CUTLASS,
                (
                    Change("backend", "", "TRITON", "FlashInfer CUTLASS"),
                    Change("backend_option", "", "triton", "flashinfer_cutlass"),
                    Change("kernel", "", "TritonExperts", "FlashInferExperts"),
                    Change("candidate", "BATCHED_TRITON", None, "does not fit: takes batched"),
                    Change("order", "", "A, B", "B, A"),
                    Change("classes", "FlashInfer TRTLLM", "flashinfer_bf16", "TrtLlmBf16Experts"),
                    Change(
                        "verdict",
                        "FlashInfer CUTLASS",
                        "does not fit: used only with --enable-expert-parallel, which is off",
                        "fits",
                    ),
                ),
            ),
            AnswerChange(replace(OLD, lora=True), TRITON_LORA),
        ),
        surroundings=(
            Change("moe_backend", "emulation", None, "emulation"),
            Change("all2all_backend", "naive", "naive", None),
            Change(
                "variable", "VLLM_USE_FLASHINFER_MOE_FP16", "VLLM_USE_FLASHINFER_MOE_FP16", None
            ),
            Change(
                "variable", "VLLM_LORA_ENABLE_DUAL_STREAM", None, "VLLM_LORA_ENABLE_DUAL_STREAM"
            ),
            Change("package", "torch", "2.10.0", "2.11.0"),
            Change("package", "nvidia-cutlass-dsl", "", "4.4.2"),
            Change("package", "tilelang", None, "0.1.9"),
        ),
    )
)
BREAKS = judged(
    replace(
        DIFF,
        answers=(
            AnswerChange(OLD, OLD),
            AnswerChange(
                replace(OLD, lora=True),
                REFUSED,
                (
                    Change("outcome", "", "selected", "error"),
                    Change("backend", "", "TRITON", None),
                    Change("error", "", None, "ValueError: LoRA is | not `supported`\nhere"),
                ),
            ),
        ),
        surroundings=(),
        findings=(),
    )
)
SAME = judged(
    replace(
        DIFF,
        answers=(AnswerChange(OLD, OLD), AnswerChange(TRITON_LORA, TRITON_LORA)),
        surroundings=(),
        findings=(),
    )
)
TWO_KINDS = judged(
    replace(
        DIFF,
        model=replace(NANO, moe_layers=(*NANO.moe_layers, MoELayers(NANO_SPEC, (50, 51)))),
        answers=(
            AnswerChange(CRASHES, replace(CRASHES, crash=None, hazard="sums come out wrong")),
            AnswerChange(CRASHES, replace(CRASHES, crash=None)),
            AnswerChange(
                Selection(1, False, None, Outcome.NOT_APPLICABLE),
                Selection(1, False, None, Outcome.NOT_APPLICABLE),
            ),
        ),
        findings=(),
    )
)
COMPARISONS = {"diff": DIFF, "breaks": BREAKS, "same": SAME, "two-kinds": TWO_KINDS}

_TRITON = CellAnswer(0, Outcome.SELECTED, "unquantized", "TRITON", "TritonExperts")
_CUTLASS = CellAnswer(0, Outcome.SELECTED, "unquantized", "FlashInfer CUTLASS", "FlashInferExperts")
_REFUSED = CellAnswer(0, Outcome.ERROR, None, None, None, "ValueError: no | LoRA\nhere")
_UNKNOWN = CellAnswer(1, Outcome.NOT_APPLICABLE)
_OLD = ("0.19.0", "0.19.1")

MATRIX = Matrix(
    models=(NANO, None),
    gpus=("h100", "h200", "a100"),
    engine="vllm",
    releases=(*_OLD, "0.20.0"),
    cells=(
        *(
            Cell(0, gpu, lora, releases, answers)
            for gpu in (0, 1)
            for lora, releases, answers in (
                (False, _OLD, (_TRITON,)),
                (False, ("0.20.0",), (_CUTLASS,)),
                (True, _OLD, (_REFUSED,)),
                (True, ("0.20.0",), (_TRITON,)),
            )
        ),
        Cell(0, 2, False, (*_OLD, "0.20.0"), (_TRITON,)),
        Cell(0, 2, True, (*_OLD, "0.20.0"), (_TRITON._replace(trouble="sums come out wrong"),)),
        *(
            Cell(1, gpu, lora, (*_OLD, "0.20.0"), (_CUTLASS, _UNKNOWN))
            for gpu in (0, 1, 2)
            for lora in (False, True)
        ),
    ),
)
