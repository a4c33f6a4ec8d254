"""What a method asks of the GPU and of the dtype before any layer is built.

Sources: config/vllm.py (VllmConfig._get_quantization_config), get_min_capability and
get_supported_act_dtypes of each config, 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.methods.outcome import refused_by_vllm_config
from moe_doctor.oracle.engines.vllm.methods.question import Question

_START: Release = (0, 16, 0)
# Method -> smallest CUDA capability, from a release on.
_CAPABILITY: dict[str, tuple[tuple[Release, int], ...]] = {
    "fp8": ((_START, 75),),
    "deepseek_v4_fp8": ((_START, 75),),
    "ptpc_fp8": ((_START, 75),),
    "fbgemm_fp8": ((_START, 80),),
    "modelopt": ((_START, 89), ((0, 27, 0), 80)),
    "modelopt_fp4": ((_START, 75),),
    "modelopt_mxfp8": ((_START, 100), ((0, 20, 0), 80)),
    "modelopt_mixed": ((_START, 89), ((0, 24, 0), 75)),
    "gguf": ((_START, 60),),
    "auto_gptq": ((_START, 60),),
    "gptq": ((_START, 60),),
    "gptq_marlin": ((_START, 75), ((0, 22, 0), 60)),
    "awq": ((_START, 75),),
    "auto_awq": ((_START, 75),),
    "awq_marlin": ((_START, 75),),
    "humming": ((_START, 75),),
    "compressed-tensors": ((_START, 70),),
    "bitsandbytes": ((_START, 70),),
    "experts_int8": ((_START, 80),),
    "quark": ((_START, 70),),
    "moe_wna16": ((_START, 70),),
    "torchao": ((_START, 75),),
    "inc": ((_START, 60),),
    "mxfp4": ((_START, 80),),
    "gpt_oss_mxfp4": ((_START, 80),),
    "online": ((_START, 75),),
    "fp8_per_tensor": ((_START, 75),),
    "fp8_per_block": ((_START, 75),),
    "fp8_per_channel": ((_START, 75),),
    "int8_per_channel_weight_only": ((_START, 75),),
    "nvfp4_per_token": ((_START, 75),),
    "mxfp8": ((_START, 100), ((0, 20, 0), 75)),
}
_HALF = ("bfloat16", "float16")
_ANY = ("float32", "float16", "bfloat16")
_FLOAT16 = ("float16",)
# Method -> dtypes in the order in which vLLM lists them; the rest take both 16-bit ones.
_DTYPES: dict[str, tuple[str, ...]] = {
    "compressed-tensors": _ANY,
    "bitsandbytes": _ANY,
    "torchao": _ANY,
    "mxfp4": ("bfloat16",),
    "gpt_oss_mxfp4": ("bfloat16",),
    "modelopt_mxfp8": ("bfloat16",),
    "modelopt_fp4": ("bfloat16", "float16", "float8_e4m3fn"),
    "quark": ("float16", "bfloat16"),
    "gguf": ("float16", "bfloat16", "float32"),
    "auto_gptq": ("float16", "bfloat16"),
    "gptq_marlin": ("float16", "bfloat16"),
    "awq_marlin": ("float16", "bfloat16"),
    "auto_awq": ("float16", "bfloat16"),
    "inc": ("float16", "bfloat16"),
}


def check_demands(name: str, question: Question) -> None:
    """Raise MethodRefused where the GPU is too old or the dtype is not one of the method's."""
    if name == "mxfp4" and question.quantization is None and question.release >= (0, 28, 0):
        smallest, dtypes = _demands("online", question.release)  # its config, by a shorthand
    else:
        smallest, dtypes = _demands(name, question.release)
    if question.setting.is_below(divmod(smallest, 10)) and question.is_on("cuda"):
        major, minor = question.capability or (0, 0)
        found = major * 10 + minor
        raise refused_by_vllm_config(
            f"The quantization method {name} is not supported for the current GPU. Minimum "
            f"capability: {smallest}. Current capability: {found}.",
            f"{name} needs compute capability {smallest / 10}; this GPU has {found / 10}",
        )
    if name == "gguf" and question.setting.reaches((10, 0)) and question.is_on("cuda"):
        # GGUFConfig.get_supported_act_dtypes: bfloat16 is not precise enough there.
        dtypes = tuple(dtype for dtype in dtypes if dtype != "bfloat16")
    if question.query.in_dtype not in dtypes:
        listed = ", ".join(f"torch.{dtype}" for dtype in dtypes)
        raise refused_by_vllm_config(
            f"torch.{question.query.in_dtype} is not supported for quantization method {name}. "
            f"Supported dtypes: [{listed}]",
            f"{name} computes in {' or '.join(dtypes)}; pass --dtype",
        )
    if question.query.parallel.all2all_backend == "moonep" and question.release >= (0, 31, 0):
        raise refused_by_vllm_config(
            "The moonep all2all backend currently supports unquantized BF16 models only; got "
            f"quantization={name!r}. Use a different --all2all-backend for quantized models.",
            "moonep carries bfloat16 experts alone",
        )


@by_era
def _demands(name: str, release: Release) -> tuple[int, tuple[str, ...]]:
    return min_capability(name, release), _dtypes(name, release)


def min_capability(name: str, release: Release) -> int:
    """Smallest CUDA capability as a two-digit number; 0 for a method without a row."""
    found = 0
    for since, number in _CAPABILITY.get(name, ()):
        if release >= since:
            found = number
    return found


def _dtypes(name: str, release: Release) -> tuple[str, ...]:
    if name in ("awq", "gptq"):
        # One class with the Marlin method from 0.24.0 (AWQ) and 0.22.0 (GPTQ) on.
        merged = (0, 24, 0) if name == "awq" else (0, 22, 0)
        return ("float16", "bfloat16") if release >= merged else _FLOAT16
    return _DTYPES.get(name, _HALF)
