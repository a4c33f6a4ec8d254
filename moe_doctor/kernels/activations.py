"""What an expert's nonlinearity is called, and its numbers: no torch needed."""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple

SWIGLU_OAI = ("swigluoai", "swigluoai_uninterleave")
"""Names of gate * sigmoid(1.702 gate) * (up + 1), clamped; in a checkpoint's rows gate and up take
turns with the first name and are two halves with the second, and are halves here with both."""


class Activation(NamedTuple):
    """act(gate) * (up + beta), or act(x) where there is no gate."""

    name: str
    """A nonlinearity of one value: `silu`, `relu2`, ..."""
    gated: bool
    """Whether there is a gate."""
    limit: float = 0.0
    """Clamp of gate from above and of up from both sides, before; 0 = none."""
    alpha: float = 1.0
    """Factor inside silu's sigmoid."""
    beta: float = 0.0
    """What is added to up."""


def resolve(
    name: str, gated: bool, limit: float | None, alpha: float | None, beta: float | None
) -> Activation:
    """The activation of a name with the numbers given; None leaves a number to the name.

    SwiGLU-OAI's own are 7, 1.702 and 1 (vLLM 0.33 fused_moe/activation.py). Raises ValueError for
    numbers that the name has no place for.
    """
    if name in SWIGLU_OAI:
        if not gated:
            raise ValueError(f"activation is {name}, which needs a gate; gated is False")
        return Activation(
            "silu",
            gated,
            7.0 if limit is None else limit,
            1.702 if alpha is None else alpha,
            1.0 if beta is None else beta,
        )
    if not gated and any(number is not None for number in (limit, alpha, beta)):
        raise ValueError(f"activation is {name} without a gate; limit, alpha and beta need one")
    if name != "silu" and alpha not in (None, 1.0):
        raise ValueError(f"activation is {name}; alpha {alpha} belongs to silu")
    return Activation(
        name,
        gated,
        0.0 if limit is None else limit,
        1.0 if alpha is None else alpha,
        0.0 if beta is None else beta,
    )
