"""FlashInfer's CUTLASS fused MoE, as vLLM calls it."""

from __future__ import annotations

from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.fp8_formats import BLOCK, TENSOR_STATIC
from moe_doctor.backends.kernel import Kernel, row
from moe_doctor.backends.schemes import PLAIN, pairs, plain_only, quantized_only, schemes

_FEATURE = "flashinfer_cutlass"
_HOPPER = Device(("cuda",), exact=((9, 0),))
_HOPPER_UP = Device(("cuda",), minimum=(9, 0))
_BLACKWELL_UP = Device(("cuda",), minimum=(10, 0))
_UNTIL_0_20 = Device(("cuda",), exact=((9, 0),), majors=(10, 11, 12), feature=_FEATURE)
_NVFP4 = ("kNvfp4Static", "kNvfp4Dynamic")

FLASHINFER_EXPERTS = Kernel(
    name="FlashInferExperts",
    # until 0.20.2 fused_moe/flashinfer_cutlass_moe.py
    source="fused_moe/experts/flashinfer_cutlass_moe.py",
    rows=(
        # Until 0.19.1 the unquantized oracle states its own conditions (oracle/unquantized.py,
        # flashinfer_cutlass_available) and never asks the class.
        row(
            plain_only(Device(("cuda",), minimum=(9, 0), feature=_FEATURE)),
            until="0.19.1",
        ),
        row(plain_only(ParallelSizes(needs_ep=True, refuses_dp=True)), until="0.19.1"),
        row(quantized_only(_UNTIL_0_20), until="0.19.1"),
        row(_UNTIL_0_20, since="0.20.0", until="0.20.2"),
        # 0.21.0 dropped compute capability 11.x (Thor)
        row(
            Device(("cuda",), exact=((9, 0),), majors=(10, 12), feature=_FEATURE),
            since="0.21.0",
        ),
        row(
            quantized_only(Activations(frozenset({"silu", "relu2_no_mul"}))),
            until="0.16.0",
        ),
        row(
            quantized_only(Activations(frozenset({"silu", "relu2_no_mul", "swigluoai"}))),
            since="0.17.0",
            until="0.19.1",
        ),
        row(
            Activations(frozenset({"silu", "relu2_no_mul", "swigluoai"})),
            since="0.20.0",
            until="0.23.0",
        ),
        row(
            Activations(frozenset({"silu", "gelu_tanh", "relu2_no_mul", "swigluoai"})),
            since="0.24.0",
            until="0.27.1",
        ),
        row(
            Activations(
                frozenset(
                    {"silu", "gelu_tanh", "relu2_no_mul", "swigluoai", "swigluoai_uninterleave"}
                )
            ),
            since="0.28.0",
        ),
        row(
            schemes(
                pairs(PLAIN, TENSOR_STATIC, device=_HOPPER_UP),
                pairs(BLOCK, device=_HOPPER),
                pairs(_NVFP4, device=_BLACKWELL_UP),
            ),
            until="0.16.0",
        ),
        row(
            schemes(
                pairs(PLAIN, TENSOR_STATIC, device=_HOPPER_UP),
                pairs(("kMxfp4Static", None), BLOCK, device=_HOPPER),
                pairs(("kMxfp4Static", "kMxfp8Dynamic"), _NVFP4, device=_BLACKWELL_UP),
            ),
            since="0.17.0",
        ),
        row(quantized_only(ParallelSizes(refuses_sequence_parallel=True)), until="0.16.0"),
        row(quantized_only(Format("standard")), until="0.19.1"),
        row(Format("standard"), since="0.20.0"),
        row(NotBatchInvariant(), since="0.20.0"),
        row(NoLoRA(), since="0.20.0"),
    ),
)
