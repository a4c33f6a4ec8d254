"""RoutingMethodType's numbers: the releases print them, not the names, in their reasons.

Source: fused_moe/config.py, class RoutingMethodType (an IntEnum).
"""

from __future__ import annotations

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release, span

_STABLE = {
    "Default": 0,
    "Renormalize": 1,
    "DeepSeekV3": 2,
    "Llama4": 3,
    "RenormalizeNaive": 4,
    "TopK": 5,
}
_ROWS = (
    ({"Custom": 6, "Simulated": 7, "Unspecified": 8}, span(until="0.19.1")),
    ({"Custom": 6, "Simulated": 7, "DeepseekV4": 8, "Unspecified": 9}, span("0.20.0", "0.20.2")),
    ({"SigmoidRenorm": 6, "MiniMax2": 7}, span("0.21.0")),
    ({"Unspecified": 8}, span("0.21.0", "0.22.1")),
    ({"Sigmoid": 8, "Unspecified": 9}, span("0.23.0")),
    ({"DeepseekV4": 100, "Custom": 101, "Simulated": 102}, span("0.21.0")),
)


@by_era
def routing_text(method: str, release: Release) -> str:
    """The number of a member as text; a name that the release lacks stays a name."""
    for names, held in reversed(_ROWS):
        if method in names and held.holds(release):
            return str(names[method])
    return str(_STABLE.get(method, method))
