"""RoutingMethodType's numbers: the releases print them, not the names, in their reasons.

Source: fused_moe/config.py, class RoutingMethodType (an IntEnum).
"""

from __future__ import annotations

from functools import lru_cache

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


@lru_cache(maxsize=64)
def routing_numbers(release: Release) -> dict[str, str]:
    """Member name -> number as text."""
    table = dict(_STABLE)
    for names, held in _ROWS:
        if held.holds(release):
            table |= names
    return {name: str(number) for name, number in table.items()}
