"""Methods that cannot be rebalanced: `supports_eplb` of each class, 0.16.0 to 0.33.0.

FusedMoE asks right after the method's constructor, so after its oracle (fused_moe/layer.py,
fused_moe/routed_experts.py from 0.24.0).
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_NEVER: Release = (999, 0, 0)
# Class -> first release that rebalances it; a class that is missing here always could be.
_SINCE: dict[str, Release] = {
    "AWQMarlinMoEMethod": _NEVER,
    "AutoAWQMoEMethod": _NEVER,
    "AutoGPTQMoEMethod": _NEVER,
    "BitsAndBytesMoEMethod": _NEVER,
    "CompressedTensorsW4A4Mxfp4MoEMethod": _NEVER,
    "CompressedTensorsW4A4Nvfp4MoEMethod": (0, 28, 0),
    "CompressedTensorsW4A8Fp8MoEMethod": _NEVER,
    "CompressedTensorsW4A8Int8MoEMethod": _NEVER,
    "CompressedTensorsW8A8Int8MoEMethod": _NEVER,
    "CompressedTensorsW8A8Mxfp8MoEMethod": _NEVER,
    "CompressedTensorsWNA16MarlinMoEMethod": _NEVER,
    "ExpertsInt8MoEMethod": _NEVER,
    "GGUFMoEMethod": _NEVER,
    "GPTQMarlinMoEMethod": _NEVER,
    "GptOssMxfp4MoEMethod": _NEVER,
    "HummingMoEMethod": _NEVER,
    "INCMxfp4MoEMethod": _NEVER,
    "INCMxfp8MoEMethod": _NEVER,
    "ModelOptBlockQuantMoEMethod": _NEVER,
    "ModelOptFp8MoEMethod": _NEVER,
    "ModelOptMxFp8FusedMoE": _NEVER,
    "MoeWNA16Method": _NEVER,
    "Mxfp4MoEMethod": (0, 24, 0),
    "QuarkNvfp4MoEMethod": _NEVER,
    "QuarkOCP_MX_MoEMethod": (0, 25, 0),
    "QuarkW4A16Int4MoEMethod": _NEVER,
    "QuarkW4A8Fp8MoEMethod": _NEVER,
    "QuarkW8A8Fp8MoEMethod": _NEVER,
    "QuarkW8A8Int8MoEMethod": _NEVER,
}
_INTEGERS = "CompressedTensorsWNA16MoEMethod"
# compressed_tensors_moe_w4a4_nvfp4.py _EPLB_SUPPORTED_NVFP4_BACKENDS, from 0.28.0
_NVFP4 = "CompressedTensorsW4A4Nvfp4MoEMethod"
_NVFP4_BACKENDS = (
    "FLASHINFER_CUTEDSL",
    "FLASHINFER_CUTEDSL_BATCHED",
    "FLASHINFER_TRTLLM",
    "FLASHINFER_MOE_EP_CUTEDSL",
)


def refuse_eplb(method: str, backend: str | None, release: Release) -> EngineRefusal | None:
    """What FusedMoE raises with --enable-eplb when `method` chose `backend`, or None."""
    refused = release < _SINCE.get(method, (0, 0, 0))
    if method == _INTEGERS and release >= (0, 27, 0):
        refused = backend != "TRITON"
    if method == _NVFP4 and release >= _SINCE[_NVFP4]:
        refused = backend not in _NVFP4_BACKENDS
    if not refused:
        return None
    error = EngineError("NotImplementedError", f"EPLB is not supported {method}.")
    return EngineRefusal("model", error, f"{method} cannot move its experts while serving")
