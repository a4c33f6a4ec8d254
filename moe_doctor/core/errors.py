"""Expected failures: one sentence of what was seen, one of what to do, and the exit code.

Anything else that escapes is a defect of moe-doctor and exits 4.
"""

from __future__ import annotations

from collections.abc import Iterable


class DoctorError(Exception):
    """An expected failure that the user can act on."""

    exit_code = 2
    """Process exit code: 2 usage, 3 inconclusive."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        """What was seen and what was expected, one sentence."""
        self.hint = hint
        """What to do next; may hold a command. Empty when nothing can be advised."""


class UsageError(DoctorError):
    """A bad option, an option conflict, an unknown name."""


class UnknownNameError(UsageError):
    """A name that is in no table; carries the nearest names that are."""

    def __init__(self, kind: str, name: str, nearest: tuple[str, ...], hint: str = "") -> None:
        known = ", ".join(nearest)
        super().__init__(f"unknown {kind} {name!r}", hint or (f"nearest: {known}" if known else ""))
        self.nearest = nearest
        """Known names that resemble it, best first."""


class ModelError(DoctorError):
    """The model's files were read, and cannot be understood."""


class NotMoEError(ModelError):
    """A dense model: there is no MoE kernel to choose."""


class ModelNotFoundError(DoctorError):
    """No source knows the model."""


class FetchError(DoctorError):
    """The model may exist, but its config could not be fetched."""

    exit_code = 3


class OutputError(DoctorError):
    """The report could not be written where it was asked for."""

    exit_code = 3


def nearest_names(
    name: str, known: Iterable[str], n: int = 3, cutoff: float = 0.6
) -> tuple[str, ...]:
    """The known names that resemble one the most, at most `n`, best first.

    `cutoff` is the least likeness, 0..1, as `difflib.get_close_matches` counts it.
    """
    from difflib import get_close_matches  # most runs misspell nothing, and it takes 2 ms to load

    return tuple(get_close_matches(name, list(known), n, cutoff))
