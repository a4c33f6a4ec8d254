"""Random questions to every MoE oracle, as the truth harness reads them: one JSON object each."""

from __future__ import annotations

import json
import random
from typing import Any, NamedTuple

from moe_doctor.oracle.engines.vllm.select import ORACLES

Question = dict[str, Any]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


class Surroundings(NamedTuple):
    """One emulated machine: a process of the harness."""

    platform: str
    """`cuda`, `rocm`, `xpu` or `cpu`."""
    capability: str
    """`9.0`, `gfx942`; `0.0` where the platform has none."""
    packages: str
    """The harness's profile: `docker`, `docker_rocm` or `none`."""

    def __str__(self) -> str:
        return f"{self.platform} {self.capability} {self.packages}"


_CAPABILITIES = ("9.0", "10.0", "8.9", "12.0", "8.0", "10.3", "7.5", "12.1", "11.0", "8.6")
_ARCHITECTURES = ("gfx942", "gfx950", "gfx1201", "gfx90a", "gfx1100")

SURROUNDINGS: tuple[Surroundings, ...] = (
    *(Surroundings("cuda", one, "docker") for one in _CAPABILITIES),
    *(Surroundings("rocm", one, "docker_rocm") for one in _ARCHITECTURES[:3]),
    Surroundings("cuda", "9.0", "none"),
    Surroundings("cuda", "10.0", "none"),
    Surroundings("cpu", "0.0", "none"),
    Surroundings("xpu", "0.0", "none"),
    *(Surroundings("rocm", one, "docker_rocm") for one in _ARCHITECTURES[3:]),
    *(Surroundings("cuda", one, "none") for one in _CAPABILITIES[2:]),
)
"""Every machine that the harness emulates and the tables know."""

# experts, top k, hidden size, intermediate size: of real models, and odd ones
_SHAPES = (
    (128, 8, 2048, 768),
    (256, 8, 7168, 2048),
    (384, 8, 7168, 2048),
    (8, 2, 4096, 14336),
    (128, 6, 2688, 1856),
    (512, 22, 4096, 2688),
    (128, 4, 2880, 2880),
    (16, 1, 5120, 8192),
    (60, 4, 2048, 1408),
    (128, 8, 2816, 704),
    (896, 16, 7168, 3072),
    (2304, 8, 4096, 512),
    (40, 8, 1536, 512),
    (992, 4, 2048, 640),
    (64, 8, 1000, 1024),
)
_HIDDEN = (48, 512, 1000, 1040, 2000, 2048, 2560, 2880, 3072, 4096, 5120, 6144, 8192)
_WIDTHS = (64, 96, 256, 320, 512, 704, 1024, 1408, 1856, 2880, 4096, 8192)
_SIZES = (
    (1, 1, False),
    (1, 1, False),
    (2, 1, False),
    (4, 1, False),
    (8, 1, False),
    (2, 1, True),
    (8, 1, True),
    (1, 8, True),
    (1, 2, True),
    (2, 4, True),
    (8, 2, True),
    (1, 8, False),
)
_ACTIVATIONS = {
    "silu": 45,
    "gelu": 5,
    "gelu_tanh": 4,
    "swigluoai": 9,
    "swigluoai_uninterleave": 5,
    "swiglustep": 4,
    "relu2_no_mul": 12,
    "silu_no_mul": 4,
    "gelu_no_mul": 3,
    "gelu_tanh_no_mul": 2,
    "situ": 5,
}
_ROUTING = _words(
    "Default Renormalize Renormalize DeepSeekV3 DeepSeekV3 Llama4 RenormalizeNaive Custom Simulated"
    " DeepseekV4 Unspecified TopK SigmoidRenorm Sigmoid MiniMax2"
)
_ALL2ALL = _words(
    "allgather_reducescatter allgather_reducescatter allgather_reducescatter deepep_low_latency"
    " deepep_low_latency deepep_high_throughput nixl_ep flashinfer_nvlink_one_sided"
    " flashinfer_nvlink_two_sided deepep_v2 naive pplx flashinfer_all2allv moonep passthrough"
    " mori mori_low_latency mori_high_throughput"
)
_BACKENDS = _words(
    "triton batched_triton deep_gemm cutlass flashinfer_trtllm flashinfer_cutlass"
    " flashinfer_cutedsl flashinfer_b12x flashinfer_moe_ep_cutedsl b12x marlin humming aiter"
    " triton_unfused emulation hpc flydsl rdna3 aiter_triton_mxfp4_bf16 aiter_triton_mxfp4_mxfp4"
    " deep_gemm_mega_moe cpu"
)
_FLAGS = _words(
    "VLLM_BATCH_INVARIANT VLLM_USE_DEEP_GEMM VLLM_MOE_USE_DEEP_GEMM VLLM_USE_FLASHINFER_MOE_FP16"
    " VLLM_USE_FLASHINFER_MOE_FP8 VLLM_USE_FLASHINFER_MOE_FP4 VLLM_USE_FLASHINFER_MOE_INT4"
    " VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8 VLLM_USE_FLASHINFER_MOE_MXFP4_BF16"
    " VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS VLLM_MXFP4_USE_MARLIN VLLM_TEST_FORCE_FP8_MARLIN"
    " VLLM_B12X_MOE_FP4_FORCE_A16 VLLM_CPU_INT4_W4A8"
)
_FLASHINFER = ("throughput", "latency", "masked_gemm")

_FP8_PAIRS = (
    ("kFp8Static128BlockSym", "kFp8Dynamic128Sym"),
    ("kFp8StaticTensorSym", "kFp8StaticTensorSym"),
    ("kFp8StaticTensorSym", "kFp8DynamicTensorSym"),
    ("kFp8StaticChannelSym", "kFp8DynamicTokenSym"),
    ("kFp8StaticTensorSym", "kFp8DynamicTokenSym"),
    ("kFp8Static128BlockSym", None),
    ("kFp8StaticChannelSym", None),
    ("kFp8StaticTensorSym", None),
)
_W4A8 = _words(
    "kInt4W4A8StaticGroup128Sym kInt4W4A8StaticGroup64Sym kInt4W4A8StaticGroup32Sym"
    " kInt4W4A8StaticGroupSym kInt4W4A8StaticChannelSym kInt4Static"
)


ASKED = tuple(name for name in ORACLES if name != "humming" and not name.startswith("legacy"))
"""Oracles that are a function of the engine's own, and that raise where nothing fits; the others
are a method's own choice."""


def questions(seed: str, count: int, platform: str) -> list[Question]:
    """`count` questions; the same seed gives the same ones. Those of one environment are together:
    the harness clears the engine's caches where the variables change."""
    rng = random.Random(seed)
    names = ASKED
    made = [_question(rng, names[number % len(names)], platform) for number in range(count)]
    return sorted(made, key=lambda one: json.dumps(one.get("env", {}), sort_keys=True))


def _question(rng: random.Random, oracle: str, platform: str) -> Question:
    experts, top_k, hidden, width = rng.choice(_SHAPES)
    hidden = rng.choice(_HIDDEN) if rng.random() < 0.25 else hidden
    width = rng.choice(_WIDTHS) if rng.random() < 0.25 else width
    tp, dp, use_ep = rng.choice(_SIZES)
    pcp = 2 if rng.random() < 0.06 else 1
    while not use_ep and width % (tp * dp * pcp):
        width += 64
    activation = rng.choices(list(_ACTIVATIONS), list(_ACTIVATIONS.values()))[0]
    asked: Question = {
        "oracle": oracle,
        "num_experts": experts,
        "top_k": top_k,
        "hidden_size": hidden,
        "intermediate_size": width,
        "tp": tp,
        "dp": dp,
        "pcp": pcp,
        "use_ep": use_ep,
        "sp_size": tp if use_ep and tp > 1 and rng.random() < 0.15 else 1,
        "activation": "swigluoai" if oracle == "gpt_oss_mxfp4" else activation,
        "routing_method": rng.choice(_ROUTING),
        "in_dtype": rng.choices(["bfloat16", "float16", "float32"], [80, 15, 5])[0],
    }
    if rng.random() < 0.3:
        asked["router_logits_dtype"] = rng.choice(["float32", "float32", "bfloat16"])
    if use_ep:
        asked["all2all_backend"] = rng.choice(_ALL2ALL)
    for name, chance in (
        ("enable_eplb", 0.1),
        ("lora", 0.2),
        ("has_bias", 0.7 if "mxfp4" in oracle else 0.08),
        ("has_hash_routing", 0.04),
        ("require_decomposed_backend", 0.04),
    ):
        if rng.random() < chance:
            asked[name] = True
    if rng.random() < 0.3:
        asked["moe_backend"] = rng.choice(_BACKENDS)
    asked |= _clamp(rng, asked["activation"]) | _formats(rng, oracle)
    environment = _environment(rng, platform)
    return asked | {"env": environment} if environment else asked


def _clamp(rng: random.Random, activation: str) -> Question:
    if activation == "situ":
        beta, linear_beta = rng.choice([(4.0, 25.0), (4.0, 25.0), (1.0, 0.0), (4.0, 1.0)])
        return {"situ_beta": beta, "situ_linear_beta": linear_beta}
    if activation == "swigluoai_uninterleave":
        limit, alpha, beta = rng.choice([(7.0, 1.702, 1.0), (7.0, 1.702, 1.0), (10.0, 1.0, 0.0)])
        return {"swiglu_limit": limit, "swiglu_alpha": alpha, "swiglu_beta": beta}
    return {"swiglu_limit": 7.0} if rng.random() < 0.08 else {}


def _formats(rng: random.Random, oracle: str) -> Question:
    if oracle == "fp8":
        weight, inputs = rng.choice(_FP8_PAIRS)
        formats = {"weight_key": weight, "activation_key": inputs}
        return formats | ({"allow_vllm_cutlass": True} if rng.random() < 0.3 else {})
    if oracle == "nvfp4":
        keys = ["kNvfp4Dynamic", None, "kNvfp4DynamicToken", "kFp8StaticTensorSym"]
        inputs = rng.choices(keys, [68, 22, 7, 3])[0]
        return {"weight_key": "kNvfp4Static", "activation_key": inputs}
    if oracle == "mxfp4" and rng.random() < 0.3:
        keys = ["kMxfp8Dynamic", "kMxfp4Dynamic", "kFp8StaticTensorSym", "kFp8DynamicTokenSym"]
        return {"activation_key": rng.choice(keys)}
    if oracle == "int_wna16":
        return _integers(rng)
    if oracle == "w4a8_int8":
        return {"weight_key": rng.choice(_W4A8), "activation_key": "kInt8DynamicTokenSym"}
    return {}


def _integers(rng: random.Random) -> Question:
    kind = rng.choice(["ct", "ct", "gptq", "awq", "moe_wna16"])
    bits = 4 if kind == "awq" or rng.random() < 0.8 else 8
    layout = {
        "kind": kind,
        "bits": bits,
        "group_size": rng.choice([32, 64, 128, -1]),
        "sym": rng.random() < 0.7,
    }
    if kind in ("gptq", "ct") and rng.random() < 0.15:
        layout["desc_act"] = True
    return {"wna16": layout, "weight_key": "kInt4Static" if bits == 4 else "kInt8Static"}


def _environment(rng: random.Random, platform: str) -> dict[str, str]:
    environment: dict[str, str] = {}
    if platform == "rocm" and rng.random() < 0.7:
        environment["VLLM_ROCM_USE_AITER"] = rng.choice(["1", "1", "1", "0"])
        if rng.random() < 0.2:
            environment["VLLM_ROCM_USE_AITER_MOE"] = rng.choice(["1", "0"])
        if rng.random() < 0.1:
            environment[rng.choice(_FLAGS)] = rng.choice(["1", "0"])
    elif rng.random() < 0.2:
        environment[rng.choice(_FLAGS)] = rng.choice(["1", "1", "0"])
        if rng.random() < 0.4:
            environment["VLLM_FLASHINFER_MOE_BACKEND"] = rng.choice(_FLASHINFER)
    return environment
