"""What a quantization method comes to: a question to an oracle, no question, or a refusal."""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.query import MoEQuery, QuantQuery
from moe_doctor.core.record import replace
from moe_doctor.core.selection import EngineError
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal


class Afterwards(NamedTuple):
    """What the method raises once its oracle has chosen, while it makes room for the weights."""

    refusal: EngineRefusal
    """The exception."""
    only: tuple[str, ...] = ()
    """Backends (enum values) that it is raised with; empty = any."""
    unless: tuple[str, ...] = ()
    """Backends that it is not raised with."""

    def applies(self, backend: str | None) -> bool:
        """Whether it is raised when the oracle chose `backend`."""
        return backend not in self.unless and (not self.only or backend in self.only)


class OracleCall(NamedTuple):
    """The question that a method's constructor asks."""

    oracle: str
    """In the records' spelling: `fp8`, `nvfp4`, `gpt_oss_mxfp4`, ..."""
    quant: QuantQuery | None
    """The keys that the method passes; None for the unquantized oracle."""
    query: MoEQuery
    """The whole question, sizes as the release asks them, with `quant` in it."""
    method: str
    """Class of the quantization method."""
    afterwards: tuple[Afterwards, ...] = ()
    """Refusals after the answer, in the order of the code."""
    stored: OracleCall | None = None
    """What the checkpoint's own method asks before, where its weights are quantized again."""

    def refused_with(self, backend: str | None) -> EngineRefusal | None:
        """What is raised although the oracle chose `backend`, or None."""
        for late in self.afterwards:
            if late.applies(backend):
                return late.refusal
        return None


class NoOracle(NamedTuple):
    """A method that decides by itself, or a declaration that the tables do not know."""

    method: str
    """Class of the quantization method; empty where the declaration is unknown."""
    why: str
    """One sentence: what was seen and what the method runs."""
    backend: str | None = None
    """What it runs, in its own attribute's spelling, where that is fixed."""
    kernel: str | None = None
    """Experts class, where it has one."""


class MethodRefused(Exception):  # noqa: N818 - it is a branch of the rules, like walk.Refused
    """Raised inside this package only; `method_of` turns it into its refusal."""

    def __init__(self, refusal: EngineRefusal) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal


def refused_by_model_config(text: str, reason: str) -> MethodRefused:
    """A ValueError while ModelConfig validates itself."""
    return _refused_by_config("ModelConfig", text, reason)


def refused_by_vllm_config(text: str, reason: str) -> MethodRefused:
    """A ValueError while VllmConfig reads the quantization config."""
    return _refused_by_config("VllmConfig", text, reason)


def refused_by_validation(text: str, reason: str) -> MethodRefused:
    """Whatever else pydantic says while VllmConfig reads the quantization config."""
    message = f"1 validation error for VllmConfig\n  {text}"
    return MethodRefused(EngineRefusal("config", EngineError("ValidationError", message), reason))


def refused_by_constructor(text: str, reason: str, *, kind: str = "TypeError") -> MethodRefused:
    """An exception that pydantic lets through while VllmConfig makes the quantization config."""
    return MethodRefused(EngineRefusal("config", EngineError(kind, text), reason))


def refused_by_method(kind: str, text: str, reason: str) -> MethodRefused:
    """An exception of the method's own constructor, before its oracle."""
    return MethodRefused(EngineRefusal("model", EngineError(kind, text), reason))


def by_linear(refused: MethodRefused) -> MethodRefused:
    """The same, raised by the linear layers around the experts, which are built first."""
    return MethodRefused(replace(refused.refusal, by_linear=True))


def refused_later(
    kind: str, text: str, reason: str, *, only: tuple[str, ...] = (), unless: tuple[str, ...] = ()
) -> Afterwards:
    """An exception of the method after its oracle."""
    return Afterwards(EngineRefusal("model", EngineError(kind, text), reason), only, unless)


def _refused_by_config(config: str, text: str, reason: str) -> MethodRefused:
    message = f"1 validation error for {config}\n  Value error, {text}"
    return MethodRefused(EngineRefusal("config", EngineError("ValidationError", message), reason))
