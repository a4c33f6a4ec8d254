"""What the parser noted becomes findings."""

from __future__ import annotations

import json
from pathlib import Path

import moe_doctor


def test_a_token_that_asks_for_more_experts_than_there_are_is_an_error(tmp_path: Path) -> None:
    config = {
        "architectures": ["Qwen3MoeForCausalLM"],
        "model_type": "qwen3_moe",
        "num_hidden_layers": 2,
        "num_experts": 4,
        "num_experts_per_tok": 6,
        "hidden_size": 2048,
        "moe_intermediate_size": 768,
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    report = moe_doctor.select(str(tmp_path), engine="vllm@0.20.0", gpu="h100", lora=False)
    # The engine builds the layer and starts; what it computes then is wrong.
    assert report.selections[0].error is None
    (finding,) = [one for one in report.findings if one.code == "MOE306"]
    assert finding.message == "2 layers pick 6 experts per token and have 4"
