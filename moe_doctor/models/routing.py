"""How a layer's tokens find experts: factories of rules that read the routing keys.

Sources: the `FusedMoE(...)` calls in vLLM's model classes (0.16 to 0.33).
"""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.core.errors import ModelError
from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.fields import Fields, show

Rule = Callable[[Fields, int], RoutingSpec]

SCORING_KEYS = (
    "scoring_func",
    "score_func",
    "score_function",
    "moe_router_activation",
    "moe_router_activation_func",
    "router_score_func",
    "expert_selection_fn",
)
RENORMALIZE_KEYS = ("norm_topk_prob", "route_norm", "moe_renormalize", "norm_expert_weight")
SCALE_KEYS = (
    "routed_scaling_factor",
    "router_scaling_factor",
    "moe_router_scaling_factor",
    "moe_routed_scaling_factor",
    "route_scale",
)
BIAS_FLAGS = (
    "use_routing_bias",
    "use_expert_bias",
    "moe_router_enable_expert_bias",
    "use_moe_router_bias",
    "moe_use_aux_free",
)
SCORINGS = ("softmax", "sigmoid", "sqrtsoftplus")


def routing(
    *,
    scoring: str | None = None,
    default_scoring: str = "softmax",
    renormalize: bool | None = None,
    default_renormalize: bool = True,
    bias: bool | None = None,
    default_bias: bool = False,
    grouped: bool = False,
    default_group: int | None = None,
    custom: str | None = None,
    scaled: bool = True,
) -> Rule:
    """A rule in which what is given is fixed and the rest is read from the section.

    `grouped` says that the family hands its group keys to the router even when there is one
    group, with `default_group` for absent keys; `scaled=False` that it never scales.
    """

    def rule(fields: Fields, layer: int) -> RoutingSpec:
        del layer
        groups, eligible = _groups(fields, default_group) if grouped else (None, None)
        return RoutingSpec(
            scoring=scoring or read_scoring(fields, default_scoring),
            renormalize=fields.flag(default_renormalize, *RENORMALIZE_KEYS)
            if renormalize is None
            else renormalize,
            num_expert_group=groups,
            topk_group=eligible,
            has_correction_bias=read_bias(fields, default_bias) if bias is None else bias,
            scaling_factor=fields.number(1.0, *SCALE_KEYS) if scaled else 1.0,
            custom=custom,
        )

    return rule


def standard_routing(fields: Fields, layer: int) -> RoutingSpec:
    """For families without a row: read what is there, softmax and renormalised otherwise."""
    grouped = fields.integer_or(0, "n_group", "num_expert_group") > 1
    return routing(grouped=grouped)(fields, layer)


def read_scoring(fields: Fields, default: str) -> str:
    """The scoring function, one of `SCORINGS`."""
    text = fields.text(*SCORING_KEYS)
    if text is None:
        return default
    if text not in SCORINGS:
        raise ModelError(f"the scoring function is {show(text)}; expected {', '.join(SCORINGS)}")
    return text


def read_bias(fields: Fields, default: bool = False) -> bool:
    """Whether a learned bias corrects the choice: a flag, or DeepSeek's `noaux_tc`."""
    if fields.flag(default, *BIAS_FLAGS):
        return True
    return fields.text("topk_method") == "noaux_tc"


def _groups(fields: Fields, default: int | None) -> tuple[int | None, int | None]:
    groups = fields.integer("n_group", "num_expert_group")
    eligible = fields.integer("topk_group")
    groups = default if groups is None and not fields.has("n_group") else groups
    return groups, default if eligible is None else eligible
