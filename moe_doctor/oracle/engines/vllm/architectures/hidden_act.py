"""What a model class raises about `hidden_act`: its own gated MLPs know few activations.

Sources: the MLP and MoE classes under model_executor/models and models, get_act_and_mul_fn of
layers/activation.py, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow

# Files whose MoE block looks at hidden_act itself.
_BLOCKS = frozenset(
    {
        "AXK1.py",
        "afmoe.py",
        "deepseek_v2.py",
        "dots1.py",
        "glm4_moe.py",
        "kimi_linear.py",
        "mimo_v2_flash.py",
        "openpangu.py",
        "models/glm5next/common/model.py Glm5NextMoE",
    }
)
# Files where only shared experts and dense layers do.
_BESIDE = frozenset(
    {
        "deepseek_v4.py",
        "ernie45_moe.py",
        "exaone_moe.py",
        "hunyuan_v1.py",
        "hy_v3.py",
        "interns1_pro.py",
        "jamba.py",
        "k2_horizon.py",
        "laguna.py",
        "qwen2_moe.py",
        "qwen3_5.py",
        "qwen3_moe.py",
        "qwen3_next.py",
        "models/beam/nvidia/moe.py BeamSparseMoeBlock",
        "models/deepseek_v4/nvidia/model.py DeepseekV4MoE",
        "models/dots3_note/nvidia/model.py Dots3NoteMoE",
        "models/hy_v4/nvidia/moe.py HYV4MoEFused",
        "models/kimi_k3/nvidia/model.py KimiMoE",
        "models/minimax_m3/nvidia/model.py MiniMaxM3MoE",
    }
)
# Classes of granitemoe.py's block that have an MLP of their own beside it (granitemoeshared.py).
_GRANITE_SHARED = frozenset({"GraniteMoeSharedForCausalLM", "GraniteMoeHybridForCausalLM"})
_SHORT = "Only silu is supported."
_LONG = "Only silu is supported for now."
# File -> what it takes and how it says so, where that is not silu and `_LONG`.
_OTHERS = {
    "laguna.py": (("silu",), _SHORT),
    "models/beam/nvidia/moe.py BeamSparseMoeBlock": (("silu",), _SHORT),
    "models/kimi_k3/nvidia/model.py KimiMoE": (
        ("silu", "situ"),
        "Only silu and situ are supported.",
    ),
    "models/minimax_m3/nvidia/model.py MiniMaxM3MoE": (
        ("swigluoai",),
        "Only swigluoai is supported.",
    ),
}
_GEMMA4_ANY: Release = (0, 21, 0)
# get_act_and_mul_fn, 0.21.0 to 0.33.0.
_GATED = frozenset({"gelu", "gelu_pytorch_tanh", "silu", "swish", "geglu", "swigluoai"})


def reject_hidden_act(model: ModelSpec, row: ClassRow, release: Release) -> EngineError | None:
    """What the class of `row` raises about the activation that config.json names, or None."""
    name = model.beside.hidden_act
    if not name:
        return None
    if row.file == "gemma4.py":
        return _reject_gemma4(name, release)
    if model.architecture in _GRANITE_SHARED:
        if name == "silu" or not _has_own_mlp(model):
            return None
        return EngineError("ValueError", f"Unsupported activation: {name}. {_LONG}")
    key = row.source if row.source in _BLOCKS | _BESIDE else row.file
    if key not in _BLOCKS and not (key in _BESIDE and _has_own_mlp(model)):
        return None
    taken, text = _OTHERS.get(key, (("silu",), _LONG))
    if name in taken:
        return None
    return EngineError("ValueError", f"Unsupported activation: {name}. {text}")


def _has_own_mlp(model: ModelSpec) -> bool:
    """Whether any layer runs a gated MLP outside the routed experts."""
    routed = sum(kind.count for kind in model.moe_layers)
    shared = any(kind.spec.num_shared_experts for kind in model.moe_layers)
    return shared or routed < model.num_layers


def _reject_gemma4(name: str, release: Release) -> EngineError | None:
    if release >= _GEMMA4_ANY:
        if name.lower() in _GATED:
            return None
        return EngineError("ValueError", f"Activation function {name.lower()!r} is not supported.")
    if name == "gelu_pytorch_tanh":
        return None
    text = (
        "Gemma4 uses `gelu_pytorch_tanh` as the hidden activation function. Please set "
        "`hidden_act` and `hidden_activation` to `gelu_pytorch_tanh`."
    )
    return EngineError("ValueError", text)
