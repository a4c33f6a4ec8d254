"""Names of activations: what config files write -> vLLM's MoEActivation values without `_no_mul`.

Source: vLLM 0.33 fused_moe/activation.py.
"""

from __future__ import annotations

from moe_doctor.models.fields import Fields

NAMES = {
    "silu": "silu",
    "swish": "silu",
    "swiglu": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu2": "relu2",
    "relu_squared": "relu2",
    "squared_relu": "relu2",
    "swigluoai": "swigluoai",
    "swiglustep": "swiglustep",
    "situ": "situ",
}
KEYS = ("mlp_hidden_act", "hidden_act", "hidden_activation", "activation_function", "ffn_act_fn")
DEFAULT = "silu"


def read_activation(fields: Fields) -> tuple[str, bool]:
    """The experts' activation, and whether its name is a known one."""
    found = fields.find(*KEYS)
    if found is not None and isinstance(found[1], dict):  # DBRX: {"name": "silu"}
        text = Fields(found[1]).text("name")
    else:
        text = fields.text(*KEYS)
    if text is None:
        return DEFAULT, True
    return NAMES.get(text.lower(), text.lower()), text.lower() in NAMES


def read_layer_limit(fields: Fields, key: str, layer: int) -> float:
    """The clamp that a list of one per layer holds; 0 = none (vLLM 0.33 bailing_moe_v3.py)."""
    found = fields.items(key)
    if found is None or layer >= len(found[1]):
        return 0.0
    return Fields({key: found[1][layer]}).number(0.0, key)


def read_situ(fields: Fields) -> tuple[float, float]:
    """beta and linear beta of SiTU, 1 and 0 where absent (vLLM 0.33 kimi_k3/nvidia/model.py)."""
    return (
        fields.number(1.0, "activation_situ_beta"),
        fields.number(0.0, "activation_situ_linear_beta"),
    )
