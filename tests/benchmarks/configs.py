"""Local configs to measure on: real ones beside the checkout, else generated ones."""

from __future__ import annotations

import json
from pathlib import Path

SHARED = Path(__file__).parents[3] / "shared" / "configs"
FOUNDING = "nvidia--NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"


def one_config(folder: Path) -> Path:
    """A directory with the config of one unquantized MoE model."""
    real = SHARED / FOUNDING
    if (real / "config.json").is_file():
        return real
    return many_configs(folder)[0]


def many_configs(folder: Path) -> list[Path]:
    """Directories of unquantized MoE models: generated, so that the count does not change."""
    paths = []
    for experts, top_k, hidden, width in (
        (8, 2, 4096, 14336),
        (64, 8, 2048, 1024),
        (128, 8, 2048, 768),
        (256, 8, 7168, 2048),
    ):
        path = folder / f"mixtral-{experts}"
        path.mkdir(parents=True, exist_ok=True)
        config = {
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
        (path / "config.json").write_text(json.dumps(config))
        paths.append(path)
    return paths
