"""Which MoE kernel will an LLM engine run, why, and does it work here.

    import moe_doctor
    report = moe_doctor.select("path/or/id", engine="vllm@0.20.0", gpu="h100", lora=True)
    report.to_dict()

Importing this package imports neither torch nor triton nor any engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_doctor.core.comparison import Comparison, Matrix
    from moe_doctor.core.report import Report

__version__ = "0.1.0"
__all__ = ["__version__", "check", "diff", "matrix", "prove", "select"]


def check(model: str, **options: Any) -> Report:
    """Fetch, probe, select, prove and judge; the keyword names are the options'."""
    from moe_doctor import doctor

    return doctor.check(model, **options)


def select(model: str | None = None, **options: Any) -> Report:
    """The oracle alone, with its full trace; `lora=None` (the default) gives both answers."""
    from moe_doctor import doctor

    return doctor.select(model, **options)


def prove(model: str | None = None, *, backend: str = "all", **options: Any) -> Report:
    """The tiny forward alone, on one backend or `all`."""
    from moe_doctor import doctor

    return doctor.prove(model, backend=backend, **options)


def diff(
    model: str, *, from_: str | None = None, to: str | None = None, **options: Any
) -> Comparison:
    """What an upgrade changes: `diff(MODEL, from_="vllm@0.19.1", to="vllm@0.20.0", gpu="h100")`."""
    from moe_doctor import survey

    return survey.diff(model, from_=from_, to=to, **options)


def matrix(*models: str, **options: Any) -> Matrix:
    """Releases x GPUs x LoRA; `engine` and `gpu` take one name or several."""
    from moe_doctor import survey

    return survey.matrix(*models, **options)
