"""The pairs of 8-bit floating-point formats, and the devices that compute with them.

Source: quantization/utils/quant_utils.py (the keys) and `supports_fp8` of platforms/*.py.
"""

from __future__ import annotations

from moe_doctor.backends.constraints import Device
from moe_doctor.backends.schemes import Pair

BLOCK: Pair = ("kFp8Static128BlockSym", "kFp8Dynamic128Sym")
"""Weights scaled per 128 x 128 block, inputs per 128 values."""
CHANNEL: Pair = ("kFp8StaticChannelSym", "kFp8DynamicTokenSym")
"""Weights scaled per output channel, inputs per token."""
TENSOR_BY_TOKEN: Pair = ("kFp8StaticTensorSym", "kFp8DynamicTokenSym")
"""One scale per expert, inputs per token."""
TENSOR_STATIC: Pair = ("kFp8StaticTensorSym", "kFp8StaticTensorSym")
"""One scale per expert, one fixed scale for the inputs."""
TENSOR_DYNAMIC: Pair = ("kFp8StaticTensorSym", "kFp8DynamicTensorSym")
"""One scale per expert, one scale per batch of inputs."""

W8A8: tuple[Pair, ...] = (BLOCK, CHANNEL, TENSOR_BY_TOKEN, TENSOR_STATIC, TENSOR_DYNAMIC)
"""All five."""

ADA_UP = (8, 9)
"""The first CUDA capability with FP8 tensor cores."""
MI = ("gfx90a", "gfx942", "gfx950")
"""on_gfx9()."""
# supports_fp8() of platforms/rocm.py; on XPU it is always yes
FP8_0_20 = Device(("cuda", "rocm", "xpu"), minimum=ADA_UP, archs=(*MI, "gfx12"))
FP8_0_27 = Device(("cuda", "rocm", "xpu"), minimum=ADA_UP, archs=("gfx9", "gfx12"))
FP8_0_28 = Device(
    ("cuda", "rocm", "xpu"), minimum=ADA_UP, archs=("gfx9", "gfx1250", "gfx1200", "gfx1201")
)
FP8_0_33 = Device(("cuda", "rocm", "xpu"), minimum=ADA_UP, archs=("gfx9", "gfx11", "gfx12"))
