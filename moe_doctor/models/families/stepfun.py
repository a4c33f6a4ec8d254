"""Step 3, 3.5 and 5."""

from __future__ import annotations

from collections.abc import Collection

from moe_doctor.core.errors import ModelError
from moe_doctor.models.family import Family
from moe_doctor.models.fields import MAX_LAYERS, Fields, show
from moe_doctor.models.layer_rules import enumerated_layers
from moe_doctor.models.routing import routing
from moe_doctor.models.shared_experts import fixed_shared


def _clamped(fields: Fields, layer: int) -> str:
    """Layers with a limit use a clamped step variant (vLLM 0.33 step3p5.py)."""
    found = fields.items("swiglu_limits")
    if found is None or layer >= len(found[1]) or found[1][layer] in (None, 0):
        return "silu"
    limit = found[1][layer]
    if isinstance(limit, bool) or not isinstance(limit, (int, float)):
        raise ModelError(f"swiglu_limits holds {show(limit)}; expected numbers")
    return "swiglustep"


def _step5_layers(fields: Fields, count: int) -> Collection[int]:
    """Numbers as a text or a list, under either of two keys (vLLM 0.33 step5/nvidia/model.py)."""
    for name in ("moe_layers_enum", "moe_layer_list"):
        if isinstance(fields.values.get(name), (list, tuple)):
            numbers = fields.integers(name, maximum=MAX_LAYERS) or ()
            return [layer for layer in sorted(set(numbers)) if layer < count]
        if fields.has(name):
            return enumerated_layers(Fields({"moe_layers_enum": fields.values[name]}), count)
    return range(1, count)


FAMILIES = (
    Family(
        name="Step-3",
        model_types=("step3_text", "step3", "step3_vl"),
        architectures=("Step3TextForCausalLM", "Step3VLForConditionalGeneration"),
        experts=("moe_num_experts",),
        top_k=("moe_top_k",),
        width=("moe_intermediate_size",),
        layers=enumerated_layers,
        routing=routing(scoring="softmax", bias=False, scaled=False),
        activation="silu",
        block="moe.experts",
    ),
    Family(
        name="Step-3.5",
        model_types=("step3p5", "step3p5_text", "step3p7", "step3p7_text"),
        architectures=("Step3p5ForCausalLM", "Step3p7ForConditionalGeneration"),
        experts=("moe_num_experts",),
        top_k=("moe_top_k",),
        width=("moe_intermediate_size",),
        layers=enumerated_layers,
        routing=routing(default_scoring="sigmoid", bias=True),
        activation=_clamped,
        block="moe.experts",
    ),
    Family(
        name="Step-5",
        model_types=("step5", "step5_vl"),
        architectures=("Step5ForCausalLM", "Step5ForConditionalGeneration"),
        experts=("moe_num_experts",),
        top_k=("moe_top_k",),
        width=("moe_intermediate_size",),
        layers=_step5_layers,
        routing=routing(default_scoring="sigmoid", bias=True),
        shared=fixed_shared(1),
        activation=_clamped,
        block="moe.experts",
        defaults={
            "num_hidden_layers": 48,
            "moe_num_experts": 16,
            "moe_top_k": 4,
            "hidden_size": 5120,
            "moe_intermediate_size": 10240,
        },
    ),
)
