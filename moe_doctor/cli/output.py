"""The report, rendered and put where it was asked for: whole, or not at all."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from moe_doctor.cli.console import PIPE_WIDTH, Progress, look_at, write_stdout
from moe_doctor.cli.exits import Finished, exit_for
from moe_doctor.cli.options import PageOptions, ReportOptions
from moe_doctor.core.errors import OutputError, UsageError
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.request import Request
from moe_doctor.models.source import CONFIG_FILE, PARAMS_FILE, QUANT_FILE

if TYPE_CHECKING:
    from moe_doctor.render import Layout

_CONFIG_FILES = (CONFIG_FILE, QUANT_FILE, PARAMS_FILE)


class Answered(NamedTuple):
    """What a command found out, ready to be written."""

    text: Callable[[Layout], str]
    """The whole answer at a layout."""
    exit_code: int
    """What the process returns."""


def answer(request: Callable[[], Request], options: ReportOptions) -> None:
    """Ask the doctor, write the report, and exit with its code.

    The request is built in here, so that a bad value is told in the format that was asked for.
    """

    def ask(progress: Progress) -> Answered:
        from moe_doctor import doctor
        from moe_doctor.render import render

        report = doctor.run(asked, progress)
        return Answered(lambda layout: render(report, options.format, layout), report.exit_code)

    with exit_for(options.format):
        asked = request()
    deliver(ask, options, (asked.model, asked.machine.snapshot))


def deliver(
    ask: Callable[[Progress], Answered],
    options: ReportOptions | PageOptions,
    inputs: Iterable[str | None] = (),
) -> NoReturn:
    """Ask with progress on stderr, write what was answered, and exit with its code.

    `inputs` are the files and directories that are read, and therefore not written.
    """
    with exit_for(options.format):
        if options.quiet and options.verbose:
            raise UsageError("--quiet and --verbose exclude each other", "give one of them")
        target = _target(options)
        if target is not None:
            with _writing(target):
                check_target(target)
                _refuse_input(target, inputs)
        terminal = look_at(sys.stderr, os.environ)
        with Progress(terminal, quiet=options.quiet) as progress:
            answered = ask(progress)
        emit(answered.text, options)
    raise Finished(answered.exit_code)


def emit(text: Callable[[Layout], str], options: ReportOptions | PageOptions) -> None:
    """Render and write to `--output` or stdout. Raises `OutputError`."""
    from moe_doctor.render import Layout

    target = _target(options)
    if target is None:
        terminal = look_at(sys.stdout, os.environ)
        layout = Layout(terminal.width, terminal.color, options.quiet, options.verbose)
        write_stdout(text(layout))
        return
    write_file(target, text(Layout(PIPE_WIDTH, False, options.quiet, options.verbose)))


def check_target(path: Path) -> None:
    """Refuse a target that cannot work before minutes are spent on a proof."""
    if path.is_dir():
        raise OutputError(f"{path} is a directory; expected a file", "name a file in it")
    parent = path.parent
    if not parent.is_dir():
        what = "is not a directory" if parent.exists() else "does not exist"
        raise OutputError(f"{path} cannot be written: {parent} {what}", f"mkdir -p {parent}")
    if path.is_file() or not path.exists():
        folder = Path(os.path.realpath(path)).parent
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(
                f"{path} cannot be written: {folder} may not be written to",
                "choose another place with --output",
            )


def _refuse_input(target: Path, inputs: Iterable[str | None]) -> None:
    """Raise OutputError where the report would be written over what it is made from."""
    if not target.is_file():
        return
    for name in filter(None, inputs):
        for each in (Path(name), *(Path(name) / file for file in _CONFIG_FILES)):
            if each.is_file() and each.samefile(target):
                raise OutputError(
                    f"{target} is what the report is made from, and would be lost",
                    "choose another place with --output",
                )


def write_file(path: Path, text: str) -> None:
    """Write UTF-8 atomically: a reader sees the old file or the whole new one.

    A device or a pipe, such as /dev/stdout, is written to as it is. Raises `OutputError`.
    """
    content = text.encode("utf-8", errors="backslashreplace")
    with _writing(path):
        check_target(path)
        if path.exists() and not path.is_file():
            with path.open("wb", buffering=0) as device:
                device.write(content)
            return
        # Unlike Path.resolve, this ends on a symbolic link to itself.
        _replace(Path(os.path.realpath(path)), content)


def _target(options: ReportOptions | PageOptions) -> Path | None:
    """The file to write; None for stdout, which `-` names as well."""
    if options.output is not None and not options.output.strip():
        raise UsageError("--output is empty; expected a file", "leave it out for stdout")
    return None if options.output in (None, "-") else Path(str(options.output))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Tell every way in which a target can fail as an `OutputError`."""
    try:
        yield
    except BrokenPipeError:
        return
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}",
            "free some space or choose another place with --output; nothing was left behind",
        ) from error


def _replace(path: Path, content: bytes) -> None:
    """Temporary file beside the target, synced, given the target's mode, then renamed over it."""
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(_mode(path))
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _mode(path: Path) -> int:
    """Mode of the file that is replaced, else what open() would have given a new one."""
    try:
        return path.stat().st_mode & 0o7777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask
