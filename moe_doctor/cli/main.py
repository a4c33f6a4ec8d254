"""The entry point: every way out of the program passes here, and none shows a traceback."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from moe_doctor.cli.console import complain, discard_stdout, prepare_streams


class Ended(BaseException):
    """SIGTERM or SIGHUP: leaves through every `finally`, so that no child and no file stays."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        """The signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    if arguments is None:  # the process is ours
        collect_rarely()
    line = list(sys.argv[1:] if arguments is None else arguments)
    prepare_streams()
    try:
        with _leaving_in_order():
            code = _run(line)
    except KeyboardInterrupt:
        code = _interrupted()
    except Ended as ended:
        complain("terminated")
        code = 128 + ended.number
    code = _flush(code)
    if arguments is None:
        # Python looks for cycles among all that there is on its way out: a tenth of `select`.
        gc.freeze()
    return code


def collect_rarely() -> None:
    """Let the garbage collector look less often: a run makes few cycles, and much that stays.

    Python's own thresholds have it go through all that start-up made several times, and through all
    answers of a large `matrix`: a seventh of the time of 100,000 selections.
    """
    gc.set_threshold(50_000, 20, 20)


@contextmanager
def _leaving_in_order() -> Iterator[None]:
    """Meanwhile the signals that end a program raise `Ended`; one that is ignored stays ignored."""

    def end(number: int, _: FrameType | None) -> None:
        for each in before:
            signal.signal(each, signal.SIG_IGN)  # the clean-up is not interrupted again
        raise Ended(number)

    before = {
        each: handler
        for each in (signal.SIGTERM, signal.SIGHUP)
        if (handler := signal.getsignal(each)) == signal.SIG_DFL
    }
    try:
        for each in before:
            signal.signal(each, end)
    except ValueError:  # not the main thread: its owner decides about signals
        before.clear()
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _run(line: list[str]) -> int:
    from moe_doctor.cli import exits
    from moe_doctor.cli.plain import read_plain
    from moe_doctor.core.errors import DoctorError

    try:
        plain = read_plain(line, os.environ, Path())  # Path.cwd() fails in a deleted folder
        if plain is None:
            return _run_typer(line)
        plain()
    except exits.Finished as finished:
        return finished.code
    except DoctorError as error:
        return exits.tell(error, as_json=exits.wants_json(line))
    except BrokenPipeError:
        discard_stdout()
    except Exception as error:
        return exits.tell_internal(error, line)
    return 0


def _run_typer(line: list[str]) -> int:
    import typer

    from moe_doctor.cli import exits
    from moe_doctor.cli.app import build_app
    from moe_doctor.cli.parsing import ParsingError, explain_parsing

    try:
        result = build_app().main(line, prog_name="moe-doctor", standalone_mode=False)
    except ParsingError as error:
        return exits.tell(explain_parsing(error, line), as_json=exits.wants_json(line))
    except typer.Abort:
        return _interrupted()
    except SystemExit as leaving:
        # Typer leaves this way when a reader closes the pipe under the help.
        return leaving.code if isinstance(leaving.code, int) else 0
    if result == exits.INTERRUPTED:
        # Typer catches Ctrl-C itself and says nothing.
        return _interrupted()
    return result if isinstance(result, int) else 0


def _interrupted() -> int:
    complain("interrupted")
    return 130


def _flush(code: int) -> int:
    """Flush now: at shutdown a failure could not be told any more."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        discard_stdout()
    except OSError as error:
        discard_stdout()
        complain(f"error: standard output cannot be written: {error.strerror or error}")
        return code or 3
    return code
