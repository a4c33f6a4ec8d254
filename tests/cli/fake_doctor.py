"""A doctor that answers at once with a literal report; `python -m tests.cli.fake_doctor ARGS`."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable

from moe_doctor.core.comparison import Comparison, Matrix
from moe_doctor.core.errors import FetchError
from moe_doctor.core.report import Report
from moe_doctor.core.request import Request
from tests.render.comparisons import DIFF, MATRIX
from tests.render.reports import CHECK, CRASH, ENV


class FakeDoctor(types.ModuleType):
    """Stands in for `moe_doctor.doctor` and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__("moe_doctor.doctor")
        self.requests: list[Request] = []
        self.report: Report = CHECK
        self.error: BaseException | None = None

    def run(self, request: Request, progress: Callable[[str], None] | None = None) -> Report:
        """Note the request; raise or answer."""
        self.requests.append(request)
        if progress is not None:
            progress(f"looking at {request.model}")
        if self.error is not None:
            raise self.error
        return self.report


class FakeSurvey(types.ModuleType):
    """Stands in for `moe_doctor.survey` and notes in the same list."""

    def __init__(self, doctor: FakeDoctor) -> None:
        super().__init__("moe_doctor.survey")
        self.doctor = doctor
        self.named: list[tuple[object, ...]] = []

    def run_diff(
        self, request: Request, before: str | None, after: str | None, progress: object
    ) -> Comparison:
        """Note the request and both releases; answer."""
        self.doctor.requests.append(request)
        self.named.append((before, after))
        return DIFF

    def run_matrix(self, request: Request, *named: object) -> Matrix:
        """Note the request, models, releases and GPUs; answer."""
        self.doctor.requests.append(request)
        self.named.append(named[:3])
        return MATRIX


def install() -> FakeDoctor:
    """Put the fake where the commands look for the doctor."""
    import moe_doctor

    fake = FakeDoctor()
    sys.modules["moe_doctor.survey"] = FakeSurvey(fake)
    sys.modules["moe_doctor.doctor"] = fake
    moe_doctor.doctor = fake  # type: ignore[attr-defined]
    return fake


if __name__ == "__main__":
    from moe_doctor.cli.main import main

    doctor = install()
    doctor.report = {"crash": CRASH, "env": ENV}.get(os.environ.get("FAKE", ""), CHECK)
    kind = os.environ.get("FAKE_ERROR")
    if kind is not None:
        doctor.error = {
            "fetch": FetchError("the hub answered 500", "try again, or --offline"),
            "bug": ZeroDivisionError("division by zero"),
            "interrupt": KeyboardInterrupt(),
        }[kind]
    sys.exit(main())
