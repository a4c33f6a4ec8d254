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
