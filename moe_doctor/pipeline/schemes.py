"""`select` without a model: a plain layer in every quantization scheme that vLLM has an oracle for.

Each scheme is asked about in its commonest form, as a published checkpoint declares it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.record import replace
from moe_doctor.core.report import Engine
from moe_doctor.core.schemes import FORMS
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec


def _compressed(form: str, weights: Mapping[str, Any], inputs: Mapping[str, Any] | None) -> Any:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"g": group}}


def _number(bits: int, strategy: str, **more: Any) -> dict[str, Any]:
    kind = {"num_bits": bits, "type": "int", "strategy": strategy, "symmetric": True}
    return kind | {"dynamic": False} | more


_PER_TOKEN = {"dynamic": True}
_DECLARATIONS: Mapping[str, Mapping[str, Any]] = {
    "fp8": {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "weight_block_size": [128, 128],
    },
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4"},
    "mxfp4": {"quant_method": "mxfp4"},
    "mxfp8": {"quant_method": "modelopt", "quant_algo": "MXFP8"},
    "int8": _compressed("int-quantized", _number(8, "channel"), _number(8, "token", dynamic=True)),
    "int_wna16": _compressed("pack-quantized", _number(4, "group", group_size=128), None),
    "w4a8": _compressed(
        "pack-quantized",
        _number(4, "group", group_size=128),
        _number(8, "token", dynamic=True, type="float"),
    ),
    "w4a8_int8": _compressed(
        "pack-quantized", _number(4, "group", group_size=128), _number(8, "token", dynamic=True)
    ),
}

_QWEN3 = {
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_attention_heads": 32,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "num_hidden_layers": 1,
    "num_key_value_heads": 4,
    "torch_dtype": "bfloat16",
    "vocab_size": 151936,
}


_GPT_OSS = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "head_dim": 64,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "num_attention_heads": 64,
    "num_experts_per_tok": 4,
    "num_hidden_layers": 1,
    "num_key_value_heads": 8,
    "num_local_experts": 128,
    "torch_dtype": "bfloat16",
    "vocab_size": 201088,
}


def with_schemes(
    plain: Sequence[Selection], machine: MachineSnapshot, deployment: Deployment, engine: Engine
) -> tuple[Selection, ...]:
    """The plain layer's answers, each followed by one per scheme, under its oracle's name.

    An installed engine is not asked about them, and the tables do not answer in its name.
    """
    found: list[Selection] = []
    for one in plain:
        found.append(one)
        for row, scheme in enumerate(FORMS, 1):
            if engine.source != "table":
                note = f"only the tables are asked about schemes: --engine vllm@{engine.version}"
                unasked = Outcome.NOT_APPLICABLE
                found.append(Selection(row, one.lora, scheme, unasked, note=note))
                continue
            own = _select(scheme, deployment, machine, engine, one.lora)
            found.append(replace(own, moe_layers=row, oracle=scheme))
    return tuple(found)


def _select(
    scheme: str, deployment: Deployment, machine: MachineSnapshot, engine: Engine, lora: bool
) -> Selection:
    from moe_doctor.oracle.answer import select_layers

    [answer] = select_layers(_model(scheme), deployment, machine, engine, lora=lora)
    return answer.selection


@lru_cache(maxsize=len(FORMS))
def _model(scheme: str) -> ModelSpec:
    from moe_doctor.models.parse import parse_model

    config = _GPT_OSS if scheme == "mxfp4" else _QWEN3
    declared = {**config, "quantization_config": _DECLARATIONS[scheme]}
    return parse_model(declared, id="", source="directory")
