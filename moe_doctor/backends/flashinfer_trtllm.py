"""FlashInfer's TRT-LLM generated MoE kernels in bfloat16, with and without LoRA: Blackwell only."""

from __future__ import annotations

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
from moe_doctor.backends.kernel import Kernel, Row, row
from moe_doctor.backends.shapes import MaxExperts

_BLACKWELL = Device(("cuda",), majors=(10,), feature="flashinfer_trtllm")
_ROUTING_0_20 = frozenset({"DeepSeekV3", "Llama4", "Renormalize", "RenormalizeNaive"})
_ROUTING_0_23 = _ROUTING_0_20 | {"SigmoidRenorm", "Sigmoid"}
_SILU_RELU2 = Activations(frozenset({"silu", "relu2_no_mul"}))
_IN_KERNEL_DISPATCH = ParallelSizes(
    only_all2all=frozenset({"allgather_reducescatter"}), refuses_eplb=True
)

TRTLLM_BF16_FUNCTION = Kernel(
    # Until 0.19.1 no class but a function with conditions of its own.
    name="flashinfer_fused_moe_bf16",
    source="fused_moe/flashinfer_trtllm_moe.py, is_supported_config_trtllm_bf16",
    rows=(
        row(Device(("cuda",), majors=(10,), feature="flashinfer"), until="0.19.1"),
        row(GatedOnly(), until="0.16.0"),
        # 0.17.0 and 0.17.1 alone take ReLU2 without a gate
        row(GatedOnly(), since="0.18.0", until="0.19.1"),
        row(Activations(frozenset({"silu"})), until="0.16.0"),
        row(_SILU_RELU2, since="0.17.0", until="0.17.1"),
        row(Activations(frozenset({"silu"})), since="0.18.0", until="0.19.1"),
        row(ParallelSizes(refuses_eplb=True), until="0.19.1"),
        row(RoutingMethods(_ROUTING_0_20 | {"Default"}), until="0.19.1"),
        row(Format("standard"), until="0.19.1"),
    ),
)

TRTLLM_BF16_EXPERTS = Kernel(
    name="TrtLlmBf16Experts",
    source="fused_moe/experts/trtllm_bf16_moe.py",
    rows=(
        row(_BLACKWELL),
        row(GatedOnly(), until="0.23.0"),
        row(Activations(frozenset({"silu"})), until="0.23.0"),
        row(_SILU_RELU2, since="0.24.0"),
        row(_IN_KERNEL_DISPATCH),
        row(RoutingMethods(_ROUTING_0_20), until="0.22.1"),
        row(RoutingMethods(_ROUTING_0_23), since="0.23.0"),
        row(Format("standard")),
        row(NotBatchInvariant()),
        row(NoLoRA()),
    ),
)

# 0.26.0 split the class in two: one routes inside the kernel, one behind an all2all.
_SPLIT: tuple[Row, ...] = (
    row(_BLACKWELL),
    row(_SILU_RELU2),
    row(Format("standard")),
    row(NotBatchInvariant()),
    row(NoLoRA()),
    row(MaxExperts(2048), since="0.28.0"),
)

TRTLLM_BF16_MONOLITHIC = Kernel(
    name="TrtLlmBf16ExpertsMonolithic",
    source="fused_moe/experts/trtllm_bf16_moe.py",
    rows=(
        *_SPLIT,
        row(_IN_KERNEL_DISPATCH),
        row(NoHashRouting(), since="0.31.0"),
        row(NoAdjustedRoutes(), since="0.33.0"),
        row(RoutingMethods(_ROUTING_0_23), until="0.31.0"),
        row(RoutingMethods(_ROUTING_0_23 | {"MiniMax2"}), since="0.32.0"),
    ),
)

TRTLLM_BF16_MODULAR = Kernel(
    name="TrtLlmBf16ExpertsModular",
    source="fused_moe/experts/trtllm_bf16_moe.py",
    rows=(
        *_SPLIT,
        row(
            ParallelSizes(
                needs_all2all=True,
                refuses_all2all=frozenset({"allgather_reducescatter", "deepep_high_throughput"}),
                refuses_eplb=True,
            )
        ),
    ),
)

TRTLLM_BF16_LORA = Kernel(
    name="TrtLlmBf16LoRAExperts",
    source="fused_moe/experts/trtllm_lora_moe.py",
    rows=(
        row(_BLACKWELL, since="0.26.0"),
        # 0.26.0 to 0.27.1 gate LoRA by device, routing and parallel sizes alone
        # (oracle/unquantized.py, _trtllm_bf16_lora_supported): activation and gate are not asked.
        row(GatedOnly(), since="0.28.0"),
        row(Activations(frozenset({"silu"})), since="0.28.0"),
        row(_IN_KERNEL_DISPATCH, since="0.26.0"),
        row(RoutingMethods(_ROUTING_0_20), since="0.26.0"),
        row(NotBatchInvariant(), since="0.28.0"),
    ),
)
