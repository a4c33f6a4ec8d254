"""The name that a release gives to a layer's routing: RoutingMethodType.

Source: create_fused_moe_router and the routing_method_type of its routers (fused_moe/router/),
get_routing_method_type (fused_moe/config.py), releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.spec import MoESpec
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow


def routing_method(spec: MoESpec, row: ClassRow, release: Release) -> str:
    """Name of the member that the router of `spec` under `row` reports."""
    if row.method is not None:
        return row.method
    routing = spec.routing
    scoring = row.scoring or routing.scoring
    renormalize = routing.renormalize if row.renormalize is None else row.renormalize
    if row.renormalize_above_one:
        renormalize = spec.top_k > 1
    bias = routing.has_correction_bias if row.bias is None else row.bias
    groups = _groups(spec, row)
    hashed = routing.has_hash_layers and scoring == "sqrtsoftplus"
    scaling = routing.scaling_factor if row.scales_in_router else 1.0
    if groups is None and routing.custom is not None and row.source == "":
        return "Llama4" if routing.custom == "llama4" else "Custom"
    later = _method(scoring, spec.top_k, renormalize, groups, bias or hashed, scaling, release)
    first = _method_0_16(scoring, spec.top_k, renormalize, groups, routing.topk_group or 1)
    return first if first != later and release < (0, 17, 0) else later


def _groups(spec: MoESpec, row: ClassRow) -> int | None:
    """num_expert_group as the grouped router gets it; None = no grouped router."""
    groups = spec.routing.num_expert_group
    if row.grouped is None:
        return groups
    return (groups or 1) if row.grouped else None


def _method_0_16(
    scoring: str, top_k: int, renormalize: bool, groups: int | None, eligible: int
) -> str:
    """0.16 knows nothing of the bias, and GroupedTopKRouter only of sigmoid."""
    if groups is not None:
        if scoring == "sigmoid":
            return "DeepSeekV3"
        if groups > 1 or eligible > 1:
            return "Unspecified"
    if scoring == "sigmoid":
        return "Llama4" if top_k == 1 else "DeepSeekV3"
    if scoring == "softmax":
        return "Renormalize" if renormalize else "Default"
    return "Unspecified"


def _method(
    scoring: str,
    top_k: int,
    renormalize: bool,
    groups: int | None,
    bias: bool,
    scaling: float,
    release: Release,
) -> str:
    """get_routing_method_type from 0.17 on."""
    if scoring == "sqrtsoftplus":
        named = renormalize and release >= (0, 20, 0)
        return "DeepseekV4" if named else "Unspecified"
    if bias:
        return _biased(scoring, renormalize, groups, scaling, release)
    if scoring == "sigmoid":
        return _sigmoid(top_k, renormalize, release)
    if scoring == "softmax":
        if not renormalize:
            return "Default"
        return "RenormalizeNaive" if release >= (0, 22, 0) else "Renormalize"
    return "Unspecified"


def _biased(
    scoring: str, renormalize: bool, groups: int | None, scaling: float, release: Release
) -> str:
    if scoring != "sigmoid" or (not renormalize and release >= (0, 23, 0)):
        return "Unspecified"
    if groups:
        return "DeepSeekV3"
    if release < (0, 21, 0):
        return "Unspecified"
    # From 0.23 to 0.30 a scale in the router was not MiniMax's routing any more.
    if scaling != 1.0 and (0, 23, 0) <= release < (0, 31, 0):
        return "Unspecified"
    return "MiniMax2"


def _sigmoid(top_k: int, renormalize: bool, release: Release) -> str:
    if release < (0, 21, 0):
        return "Llama4" if top_k == 1 else "Unspecified"
    if release < (0, 23, 0):
        if top_k == 1:
            return "Llama4"
        return "SigmoidRenorm" if renormalize else "Unspecified"
    return "SigmoidRenorm" if renormalize else "Sigmoid"
