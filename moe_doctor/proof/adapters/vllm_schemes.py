"""Our schemes in vLLM's words: which oracle, which keys, which functions. No torch needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from moe_doctor.core.named import NamedTuple
from moe_doctor.kernels.schemes import NONE

if TYPE_CHECKING:
    from torch import Tensor


def _as_stored(scales: Tensor) -> Tensor:
    return scales


def _per_row(scales: Tensor) -> Tensor:  # [E, N, 1] to [E, N]
    return scales.squeeze(-1)


def _per_expert(scales: Tensor) -> Tensor:  # [E, 1, 1] to [E]
    return scales.flatten()


class Quantization(NamedTuple):
    """How one scheme goes through vLLM (0.20: Fp8MoEMethod, UnquantizedFusedMoEMethod)."""

    oracle: str
    """Module under fused_moe/oracle."""
    select: str
    """Function that chooses backend and class; several names, where releases differ."""
    convert: str
    """Function that brings weights into the backend's layout, where the oracle has one."""
    make: str
    """Function that makes the modular kernel."""
    config: str = ""
    """Function that makes the FusedMoEQuantConfig; empty: the constant for plain weights."""
    weight_key: str = ""
    """Constant of quant_utils for the weights."""
    activation_key: str = ""
    """Constant of quant_utils for the activations."""
    block: tuple[int, int] | None = None
    """Rows and columns of a weight block with a scale."""
    per_token: bool = False
    """Whether every token has a scale."""
    per_channel: bool = False
    """Whether every row of the weights has a scale."""
    scales: Callable[[Tensor], Tensor] = _as_stored
    """Our scales in vLLM's shape."""
    in_turns: bool = False
    """Whether gate and up rows take turns, and sizes are rounded up (gpt-oss)."""
    converted: tuple[str, ...] = ("w13", "w2", "w13_scale", "w2_scale")
    """What the conversion gives back."""


_PLAIN = Quantization(
    "unquantized",
    "select_unquantized_moe_backend",
    "convert_to_unquantized_kernel_format",
    "make_unquantized_moe_kernel",
)
_FP8 = Quantization(
    "fp8",
    "select_fp8_moe_backend",
    "convert_to_fp8_moe_kernel_format",
    "make_fp8_moe_kernel",
    "make_fp8_moe_quant_config",
    "kFp8StaticTensorSym",
)
_INT8 = Quantization(
    "int8",
    "select_int8_moe_backend",
    "convert_to_int8_moe_kernel_format",
    "make_int8_moe_kernel",
    "make_int8_moe_quant_config",
    "kInt8StaticChannelSym",
    # Asked for weights alone as well (vLLM 0.20 quantization/online/int8.py).
    "kInt8DynamicTokenSym",
)
QUANTIZATIONS: dict[str, Quantization] = {
    NONE: _PLAIN,
    "fp8_tensor_static": _FP8._replace(activation_key="kFp8StaticTensorSym", scales=_per_expert),
    "fp8_tensor": _FP8._replace(activation_key="kFp8DynamicTensorSym", scales=_per_expert),
    "fp8_tensor_token": _FP8._replace(
        activation_key="kFp8DynamicTokenSym", per_token=True, scales=_per_expert
    ),
    "fp8_channel": _FP8._replace(
        weight_key="kFp8StaticChannelSym",
        activation_key="kFp8DynamicTokenSym",
        per_token=True,
        per_channel=True,
    ),
    "fp8_block_128x128": _FP8._replace(
        weight_key="kFp8Static128BlockSym", activation_key="kFp8Dynamic128Sym", block=(128, 128)
    ),
    "int8_channel": _INT8._replace(per_token=True, per_channel=True),
    "int8_weight_channel": _INT8._replace(scales=_per_row),
    "mxfp4": Quantization(
        "mxfp4",
        "select_gpt_oss_mxfp4_moe_backend select_mxfp4_moe_backend",
        "convert_gpt_oss_weight_to_mxfp4_moe_kernel_format",
        "make_mxfp4_moe_kernel",
        "make_mxfp4_moe_quant_config",
        in_turns=True,
        converted=("w13", "w2", "w13_scale", "w2_scale", "w1_bias", "w2_bias"),
    ),
    "nvfp4": Quantization(
        "nvfp4",
        "select_nvfp4_moe_backend",
        "convert_to_nvfp4_moe_kernel_format",
        "make_nvfp4_moe_kernel",
        "make_nvfp4_moe_quant_config",
        "kNvfp4Static",
        "kNvfp4Dynamic",
        converted=(
            *("w13", "w13_scale", "w13_scale_2", "a13_scale"),
            *("w2", "w2_scale", "w2_scale_2", "a2_scale"),
        ),
    ),
}
"""Schemes whose layers go through an oracle of vLLM's."""
WNA16 = (
    *(f"int4_g{size}{zeros}" for size in (32, 64, 128) for zeros in ("", "_zeros")),
    *(f"int8_weight_g{size}" for size in (32, 64, 128)),
)
"""Schemes whose layers go to `fused_experts` as MoeWNA16Method hands them over."""
