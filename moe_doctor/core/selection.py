"""What an engine's oracle answers for one kind of layer, with every reason kept."""

from __future__ import annotations

from enum import Enum
from typing import Any

from moe_doctor.core.later import late
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import record


class Outcome(Enum):
    """How a selection ended."""

    SELECTED = "selected"
    ERROR = "error"
    NOT_APPLICABLE = "not_applicable"


class Candidate(NamedTuple):
    """One backend that the engine has for this platform, judged."""

    backend: str
    """The engine's own name: the enum value that it logs."""
    kernel: str | None
    """The engine's experts class; None where the release chose a backend before a class."""
    accepted: bool
    """Whether it can take this layer, deployment and machine."""
    reason: str
    """Why, with what was seen and what it needs."""
    asked: bool = True
    """Whether the engine itself looked at it; False = judged here for the reader only."""
    engine_reason: str = ""
    """The reason in the engine's own words, as it logs it at DEBUG; empty when accepted."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        return {
            "backend": self.backend,
            "kernel": self.kernel,
            "accepted": self.accepted,
            "reason": self.reason,
            "asked": self.asked,
            "engine_reason": self.engine_reason or None,
        }


class EngineError(NamedTuple):
    """An exception that the engine would raise, in its own words."""

    type: str
    """Exception class, such as `ValueError`."""
    message: str
    """Its message."""

    @property
    def text(self) -> str:
        """`ValueError: message`, or the class alone where there is no message."""
        return f"{self.type}: {self.message}" if self.message else self.type

    def to_dict(self) -> dict[str, str]:
        """JSON form."""
        return {"type": self.type, "message": self.message}


@record
class Selection:
    """The oracle's answer for one entry of `ModelSpec.moe_layers`, with or without LoRA."""

    moe_layers: int
    """Index into `ModelSpec.moe_layers`."""
    lora: bool
    """Whether LoRA was on."""
    oracle: str | None
    """Which of the engine's oracles answered: `unquantized`, `fp8`, ...; None = not known."""
    outcome: Outcome
    """Selected, refused by the engine, or not answered by these tables."""
    backend: str | None = None
    """The engine's name of the chosen backend."""
    backend_option: str | None = None
    """What a user would pass to `--moe-backend` to ask for it; None where no value does."""
    kernel: str | None = None
    """The chosen experts class; None where the release's oracle names none."""
    runs: str | None = None
    """The experts class that ends up running, also where the oracle itself names none."""
    error: EngineError | None = None
    """What the engine raises, when it refuses."""
    crash: EngineError | None = None
    """What the server raises later because of this choice, when that is known."""
    hazard: str = ""
    """What goes wrong later without an exception, when that is known: one sentence."""
    engine_log: str | None = None
    """The line that the engine logs at INFO."""
    note: str = ""
    """Why the walk was cut short or turned, when it was: one sentence."""
    trace: tuple[Candidate, ...] = late(())
    """Every candidate in the engine's order; worked out when it is first read."""
    activation_format: str = "standard"
    """`standard` or `batched`: what the dispatch hands to the experts."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        return {
            "moe_layers": self.moe_layers,
            "lora": self.lora,
            "oracle": self.oracle,
            "outcome": self.outcome.value,
            "backend": self.backend,
            "backend_option": self.backend_option,
            "kernel": self.kernel,
            "runs": self.runs,
            "error": None if self.error is None else self.error.to_dict(),
            "crash": None if self.crash is None else self.crash.to_dict(),
            "hazard": self.hazard or None,
            "engine_log": self.engine_log,
            "note": self.note,
            "activation_format": self.activation_format,
            "trace": [candidate.to_dict() for candidate in self.trace],
        }
