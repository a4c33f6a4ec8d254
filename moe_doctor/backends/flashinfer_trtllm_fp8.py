"""FlashInfer's TRT-LLM generated FP8 MoE kernels: Blackwell (10.x) only."""

from __future__ import annotations

from typing import ClassVar

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoAdjustedRoutes,
    NoHashRouting,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.dtypes import Float32Logits, LogitsTypes
from moe_doctor.backends.fp8_formats import BLOCK, TENSOR_STATIC
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.monolithic import (
    EarlyFloat32Logits,
    EarlyFormat,
    RoutingByFormat,
)
from moe_doctor.backends.schemes import PLAIN, Pair, pairs, schemes
from moe_doctor.backends.shapes import MaxExperts
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record

_MXFP8: Pair = ("kMxfp8Static", "kMxfp8Dynamic")
_NO_PROBE = Device(("cuda",), majors=(10,))
_BLACKWELL = Device(("cuda",), majors=(10,), feature="flashinfer_trtllm")
_SILU_RELU2 = Activations(frozenset({"silu", "relu2_no_mul"}))
_DEEPSEEK = frozenset({"DeepSeekV3"})
_RENORMALIZED = frozenset({"Renormalize", "RenormalizeNaive"})
_NVLINK = frozenset(
    {"flashinfer_all2allv", "flashinfer_nvlink_one_sided", "flashinfer_nvlink_two_sided"}
)


def _routing(block: frozenset[str], *, tensor: frozenset[str] | None = None) -> RoutingByFormat:
    """Per-tensor weights take Llama 4's routing too."""
    return RoutingByFormat(block, TENSOR_STATIC, tensor or block | {"Llama4"})


def _behind(*names: str, sequence_parallel: bool = True) -> ParallelSizes:
    """Only some all2all backends, and no rebalancing."""
    return ParallelSizes(
        only_all2all=frozenset(names),
        refuses_eplb=True,
        refuses_sequence_parallel=not sequence_parallel,
    )


@record
class SwigluParameters:
    """The kernels read SwiGLU's alpha, beta and clamp for some formats alone."""

    formats: frozenset[Pair]
    """Formats whose kernels read them."""
    activations: frozenset[str] = frozenset()
    """Activations that they are read for; empty = all."""

    stage: ClassVar[int] = 13

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the model sets one and the kernel would not read it."""
        query, quant = situation.query, situation.query.quant
        given = {
            "swiglu_limit": query.swiglu_limit,
            "swiglu_alpha": query.swiglu_alpha,
            "swiglu_beta": query.swiglu_beta,
        }
        told = ", ".join(f"{name}={value}" for name, value in given.items() if value is not None)
        if not told:
            return None
        pair = PLAIN if quant is None else (quant.weight_key, quant.activation_key)
        fits = not self.activations or query.activation in self.activations
        if pair in self.formats and fits:
            return None
        engine = (
            "the TRTLLM FP8 kernels apply the SwiGLU alpha/beta/clamp parameters only for MXFP8 "
            "weights"
        )
        if self.activations:
            weight, _, _ = situation.scheme_text.partition(")x")
            engine = (
                "the TRTLLM FP8 kernels apply the SwiGLU alpha/beta/clamp parameters only for "
                f"block-scaled weights with a SwiGLU activation, but got {weight}) and "
                f"MoEActivation.{query.activation.upper()}"
            )
        return Rejection(
            engine,
            f"the model sets {told}; the kernel reads that only for "
            f"{' or '.join(sorted(str(weight) for weight, _ in self.formats))} weights",
        )


TRTLLM_FP8_FUNCTION = Kernel(
    # 0.16.0 has no class but a function with conditions of its own.
    name="is_supported_config_trtllm_fp8",
    source="fused_moe/flashinfer_trtllm_moe.py",
    rows=(
        row(_NO_PROBE),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(schemes(pairs(BLOCK, TENSOR_STATIC))),
        row(ParallelSizes(refuses_eplb=True)),
        row(_routing(_DEEPSEEK | _RENORMALIZED, tensor=_RENORMALIZED | {"Llama4"})),
        row(EarlyFormat()),
        row(EarlyFloat32Logits()),
    ),
)

TRTLLM_FP8_EXPERTS = Kernel(
    # 0.17.0 and 0.17.1
    name="TrtLlmFp8Experts",
    source="fused_moe/experts/trtllm_fp8_moe.py",
    rows=(
        row(_NO_PROBE),
        row(_SILU_RELU2),
        row(schemes(pairs(BLOCK, TENSOR_STATIC))),
        row(_behind("naive", "allgather_reducescatter")),
        row(_routing(_DEEPSEEK | _RENORMALIZED)),
        row(Float32Logits(_DEEPSEEK)),
        row(Format("standard")),
    ),
)

_LATER = frozenset({"SigmoidRenorm", "MiniMax2"})
_COMMON: tuple[Row, ...] = (
    row(_NO_PROBE, until="0.18.1"),
    row(_BLACKWELL, since="0.19.0"),
    row(_SILU_RELU2, until="0.24.0"),
    row(Activations(frozenset({"silu", "swigluoai_uninterleave", "relu2_no_mul"})), since="0.25.0"),
    row(Format("standard")),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
    row(SwigluParameters(frozenset({_MXFP8})), since="0.29.0", until="0.29.0"),
    row(
        SwigluParameters(frozenset({_MXFP8, BLOCK}), frozenset({"silu", "swigluoai_uninterleave"})),
        since="0.30.0",
    ),
    row(MaxExperts(2048), since="0.28.0"),
)

TRTLLM_FP8_MONOLITHIC = Kernel(
    # from 0.18.0
    name="TrtLlmFp8ExpertsMonolithic",
    source="fused_moe/experts/trtllm_fp8_moe.py",
    rows=(
        *_COMMON,
        row(schemes(pairs(BLOCK, TENSOR_STATIC)), until="0.18.1"),
        row(schemes(pairs(BLOCK, TENSOR_STATIC, _MXFP8)), since="0.19.0"),
        row(_behind("naive", "allgather_reducescatter"), until="0.18.1"),
        row(_behind("allgather_reducescatter"), since="0.19.0", until="0.25.1"),
        row(_behind("allgather_reducescatter", sequence_parallel=False), since="0.26.0"),
        row(NoHashRouting(), since="0.31.0"),
        row(NoAdjustedRoutes(), since="0.33.0"),
        row(_routing(_DEEPSEEK), until="0.18.1"),
        row(_routing(_DEEPSEEK | {"Simulated"}), since="0.19.0", until="0.19.1"),
        row(_routing(_DEEPSEEK | _RENORMALIZED | {"Simulated"}), since="0.20.0", until="0.20.2"),
        row(
            _routing(_DEEPSEEK | _RENORMALIZED | _LATER | {"Simulated"}),
            since="0.21.0",
            until="0.22.1",
        ),
        row(
            _routing(_DEEPSEEK | _RENORMALIZED | _LATER | {"Sigmoid", "Simulated"}),
            since="0.23.0",
            until="0.32.0",
        ),
        row(_routing(_DEEPSEEK | _RENORMALIZED | _LATER | {"Sigmoid"}), since="0.33.0"),
        row(Float32Logits(_DEEPSEEK), until="0.18.1"),
        row(Float32Logits(_DEEPSEEK | {"Simulated"}), since="0.19.0", until="0.20.2"),
        row(LogitsTypes(("bfloat16", "float32")), since="0.23.0"),
    ),
)

TRTLLM_FP8_MODULAR = Kernel(
    # from 0.18.0
    name="TrtLlmFp8ExpertsModular",
    source="fused_moe/experts/trtllm_fp8_moe.py",
    rows=(
        *_COMMON,
        row(schemes(pairs(BLOCK)), until="0.18.1"),
        row(schemes(pairs(BLOCK, _MXFP8)), since="0.19.0"),
        row(_behind("naive", "allgather_reducescatter"), until="0.18.1"),
        row(_behind("allgather_reducescatter"), since="0.19.0", until="0.23.0"),
        row(_behind("allgather_reducescatter", "deepep_v2"), since="0.24.0", until="0.24.0"),
        row(_behind("allgather_reducescatter", "deepep_v2", *_NVLINK), since="0.25.0"),
        row(Float32Logits(_DEEPSEEK), until="0.18.1"),
    ),
)
