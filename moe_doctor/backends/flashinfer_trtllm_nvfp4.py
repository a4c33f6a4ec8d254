"""FlashInfer's TRT-LLM generated MoE kernels for NVFP4 weights: Blackwell data centre GPUs."""

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
    RoutingMethods,
)
from moe_doctor.backends.dtypes import Float32Logits, LogitsTypes
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.monolithic import EarlyFormat
from moe_doctor.backends.schemes import Pair, pairs, schemes
from moe_doctor.backends.shapes import HiddenMultiple
from moe_doctor.backends.situation import Rejection, Situation
from moe_doctor.core.record import record

W4A4: Pair = ("kNvfp4Static", "kNvfp4Dynamic")
"""NVFP4 weights and inputs."""
W4A4_BY_TOKEN: Pair = ("kNvfp4Static", "kNvfp4DynamicToken")
"""NVFP4 weights and inputs whose outer scale is per token."""

_FUNCTION = "flashinfer_trtllm_fp4_moe"
_BLACKWELL = Device(("cuda",), majors=(10,))
_BLACKWELL_CHECKED = Device(("cuda",), majors=(10,), feature="flashinfer_trtllm")
_ROUTING_0_16 = frozenset({"DeepSeekV3", "Renormalize", "RenormalizeNaive", "Llama4"})
_ROUTING_0_19 = _ROUTING_0_16 | {"Simulated"}
_ROUTING_0_21 = _ROUTING_0_19 | {"SigmoidRenorm", "MiniMax2"}
_ROUTING_0_23 = _ROUTING_0_21 | {"Sigmoid"}
_ACTIVATIONS_0_17 = frozenset({"silu", "relu2_no_mul"})
_ACTIVATIONS_0_21 = _ACTIVATIONS_0_17 | {"gelu"}
_ACTIVATIONS_0_24 = _ACTIVATIONS_0_21 | {"gelu_tanh"}
_ACTIVATIONS_0_25 = _ACTIVATIONS_0_24 | {"swigluoai_uninterleave"}
_ACTIVATIONS_0_27 = _ACTIVATIONS_0_25 | {"situ"}


@record
class SituByFlashInfer:
    """SiTU runs only where the installed FlashInfer has it (has_flashinfer_situ_activation)."""

    stage: ClassVar[int] = 2

    def rejects(self, situation: Situation) -> Rejection | None:
        """Reason when the layer needs SiTU and FlashInfer lacks it."""
        facts = situation.facts
        if situation.query.activation != "situ" or "flashinfer_situ" in facts.features:
            return None
        return Rejection(
            "kernel does not support MoEActivation.SITU activation",
            facts.missing.get("flashinfer_situ", "needs a FlashInfer with SiTU"),
        )


TRTLLM_NVFP4_FUNCTION = Kernel(
    # In 0.16.0 no class but a function with conditions of its own.
    name=_FUNCTION,
    source="quantization/utils/flashinfer_fp4_moe.py, is_supported_config_trtllm",
    rows=(
        row(_BLACKWELL),
        row(GatedOnly()),
        row(Activations(frozenset({"silu"}))),
        row(schemes(pairs(W4A4))),
        row(RoutingMethods(_ROUTING_0_16)),
        row(EarlyFormat()),
    ),
)

_BOTH: tuple[Row, ...] = (
    row(_BLACKWELL, until="0.18.1"),
    row(_BLACKWELL_CHECKED, since="0.19.0"),
    row(Activations(_ACTIVATIONS_0_17), until="0.20.2"),
    row(Activations(_ACTIVATIONS_0_21), since="0.21.0", until="0.23.0"),
    row(Activations(_ACTIVATIONS_0_24), since="0.24.0", until="0.24.0"),
    row(Activations(_ACTIVATIONS_0_25), since="0.25.0", until="0.26.0"),
    row(Activations(_ACTIVATIONS_0_27), since="0.27.0"),
    row(SituByFlashInfer(), since="0.27.0"),
    row(schemes(pairs(W4A4)), until="0.30.0"),
    row(schemes(pairs(W4A4, W4A4_BY_TOKEN)), since="0.31.0"),
    row(HiddenMultiple(512), until="0.19.1"),
    row(Format("standard")),
    row(NotBatchInvariant(), since="0.20.0"),
    row(NoLoRA(), since="0.20.0"),
)
_SOURCE = "fused_moe/experts/trtllm_nvfp4_moe.py"

TRTLLM_NVFP4_KERNELS = (
    TRTLLM_NVFP4_FUNCTION,
    Kernel(
        "TrtLlmNvFp4ExpertsMonolithic",
        _SOURCE,
        (
            *_BOTH,
            row(ParallelSizes(refuses_any_all2all=True, refuses_eplb=True)),
            row(NoHashRouting(), since="0.31.0"),
            row(NoAdjustedRoutes(), since="0.33.0"),
            row(RoutingMethods(_ROUTING_0_16), until="0.18.1"),
            row(RoutingMethods(_ROUTING_0_19), since="0.19.0", until="0.20.2"),
            row(RoutingMethods(_ROUTING_0_21), since="0.21.0", until="0.22.1"),
            row(RoutingMethods(_ROUTING_0_23), since="0.23.0", until="0.32.0"),
            row(RoutingMethods(_ROUTING_0_23 - {"Simulated"}), since="0.33.0"),
            row(Float32Logits(frozenset({"DeepSeekV3"})), until="0.18.1"),
            row(
                Float32Logits(frozenset({"DeepSeekV3", "Simulated"})),
                since="0.19.0",
                until="0.20.2",
            ),
            row(LogitsTypes(("bfloat16", "float32")), since="0.23.0"),
        ),
    ),
    Kernel("TrtLlmNvFp4ExpertsModular", _SOURCE, _BOTH),
)
