"""ERNIE 4.5, text and vision-language."""

from __future__ import annotations

from moe_doctor.core.record import replace
from moe_doctor.models.family import Family
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import window_layers
from moe_doctor.models.routing import routing

# moe_capacity has an entry per bank and one more, in the text models as well: it counts nothing.
_LISTED = ("moe_num_experts", "moe_intermediate_size")
_ROUTING = routing(scoring="softmax", renormalize=True, bias=True, scaled=False)


def _banks(fields: Fields) -> tuple[Fields, ...]:
    """The vision-language model has text experts and vision experts in each layer."""
    lists = {
        name: value
        for name in _LISTED
        if isinstance(value := fields.values.get(name), (list, tuple)) and value
    }
    count = max((len(value) for value in lists.values()), default=1)
    return tuple(
        fields.overlay({name: value[min(bank, len(value) - 1)] for name, value in lists.items()})
        for bank in range(min(count, 8))
    )


_ERNIE = Family(
    name="ERNIE 4.5",
    model_types=("ernie4_5_moe",),
    architectures=("Ernie4_5_MoeForCausalLM", "Ernie4_5MoeForCausalLM"),
    experts=("moe_num_experts",),
    top_k=("moe_k",),
    width=("moe_intermediate_size",),
    layers=window_layers,
    banks=_banks,
    routing=_ROUTING,
    defaults={
        "moe_num_experts": 64,
        "moe_k": 6,
        "moe_intermediate_size": 1536,
        "moe_layer_start_index": 1,
        "moe_num_shared_experts": 2,
    },
)

FAMILIES = (
    _ERNIE,
    replace(
        _ERNIE,
        name="ERNIE 4.5 VL",
        model_types=("ernie4_5_moe_vl", "ernie4_5_vl_moe_text", "ernie4_5_vl_moe"),
        architectures=("Ernie4_5_VLMoeForConditionalGeneration",),
        # Checkpoints say `mlp.experts`, and no list is translated (ernie45_vl_moe.py).
        block="mlp.text_experts",
    ),
)
