"""Local configs to measure on: real ones beside the checkout, else generated ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SHARED = Path(__file__).parents[3] / "shared" / "configs"
FOUNDING = "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
BY_SCHEME = {
    "bf16": FOUNDING,
    "fp8": "Qwen--Qwen3-30B-A3B-FP8",
    "nvfp4": "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-NVFP4",
    "mxfp4": "openai--gpt-oss-120b",
    "int4": "moonshotai--Kimi-K2.5",
}
"""Scheme -> a real model that is stored in it."""

_INT4_GROUP = {
    "targets": ["Linear"],
    "weights": {
        "num_bits": 4,
        "type": "int",
        "strategy": "group",
        "group_size": 32,
        "symmetric": True,
    },
}
_DECLARED: dict[str, dict[str, Any]] = {
    "bf16": {},
    "fp8": {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": [128, 128],
    },
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": []},
    "mxfp4": {"quant_method": "mxfp4"},
    "int4": {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {"group_0": _INT4_GROUP},
        "ignore": [],
    },
}


def one_config(folder: Path) -> Path:
    """A directory with the config of one unquantized MoE model."""
    return scheme_configs(folder)["bf16"]


def scheme_configs(folder: Path) -> dict[str, Path]:
    """One model for each scheme."""
    found = {scheme: SHARED / name for scheme, name in BY_SCHEME.items()}
    if all((path / "config.json").is_file() for path in found.values()):
        return found
    return {scheme: _generated(folder, 128, 8, 2048, 768, scheme) for scheme in _DECLARED}


def all_configs(folder: Path) -> list[Path]:
    """Every real config, dense ones included; else generated models in every scheme."""
    real = sorted(path.parent for path in SHARED.glob("*/config.json"))
    if real:
        return real
    shapes = ((8, 2, 4096, 14336), (64, 8, 2048, 1024), (128, 8, 2048, 768), (256, 8, 7168, 2048))
    return [_generated(folder, *shape, scheme) for shape in shapes for scheme in _DECLARED]


def _generated(
    folder: Path, experts: int, top_k: int, hidden: int, width: int, scheme: str
) -> Path:
    path = folder / f"mixtral-{experts}-{scheme}"
    path.mkdir(parents=True, exist_ok=True)
    config: dict[str, Any] = {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "hidden_size": hidden,
        "intermediate_size": width,
        "num_hidden_layers": 32,
        "num_local_experts": experts,
        "num_experts_per_tok": top_k,
        "hidden_act": "silu",
        "torch_dtype": "bfloat16",
    }
    if _DECLARED[scheme]:
        config["quantization_config"] = _DECLARED[scheme]
    (path / "config.json").write_text(json.dumps(config))
    return path
