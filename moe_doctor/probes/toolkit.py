"""What a just-in-time compile would use: nvcc, CUDA_HOME, ninja, a host compiler.

The search order is FlashInfer's, which vLLM 0.33 repeats (vllm/utils/flashinfer.py): CUDA_HOME,
CUDA_PATH, the nvcc on PATH, /usr/local/cuda.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from moe_doctor.core.machine import Absent, Present, Probe, ProbeFailed, Toolkit
from moe_doctor.probes.redact import Redactor

Run = Callable[[str, str], str]
"""(program, argument) -> its output; raises OSError, or a subclass of SubprocessError."""

# A compiler on a stuck network file system must not stop the doctor.
_DEADLINE_S = 3.0


def probe_toolkit(
    environ: Mapping[str, str], redactor: Redactor, run: Run | None = None
) -> Toolkit:
    """The toolkit of this machine, paths redacted."""
    call = run or _run
    path = environ.get("PATH", "")
    home, nvcc_path = _find_cuda(environ, path)
    return Toolkit(
        nvcc=_clean(_probe_nvcc(nvcc_path, call), redactor),
        nvcc_path=None if nvcc_path is None else redactor.text(nvcc_path),
        cuda_home=_clean(home, redactor),
        ninja=_clean(_probe_ninja(path, call), redactor),
        host_compiler=_clean(_probe_compiler(environ, path, call), redactor),
    )


def _find_cuda(environ: Mapping[str, str], path: str) -> tuple[Probe, str | None]:
    """(CUDA_HOME or what tools infer, path of nvcc)."""
    for name in ("CUDA_HOME", "CUDA_PATH"):
        if value := environ.get(name, ""):
            return _judge_home(name, value, path)
    if on_path := shutil.which("nvcc", path=path):
        # Without resolving links, as torch and FlashInfer do.
        return Present(str(Path(on_path).parent.parent)), on_path
    default = Path("/usr/local/cuda")
    if default.is_dir():
        nvcc = shutil.which(str(default / "bin" / "nvcc"))
        return Present(str(default)), nvcc
    return Absent(), None


def _judge_home(name: str, value: str, path: str) -> tuple[Probe, str | None]:
    on_path = shutil.which("nvcc", path=path)
    if ":" in value:
        where = "begins with" if value.startswith(":") else "contains"
        reason = f"{name} is {value!r}, which {where} ':'; it takes one directory, not a list"
        return ProbeFailed(reason), on_path
    if not Path(value).is_dir():
        return ProbeFailed(f"{name} is {value!r}, which is not a directory"), on_path
    nvcc = shutil.which(str(Path(value) / "bin" / "nvcc"))
    if nvcc is None:
        return ProbeFailed(f"{name} is {value!r}, which holds no bin/nvcc"), on_path
    return Present(value), nvcc


def _probe_nvcc(nvcc: str | None, run: Run) -> Probe:
    """`Cuda compilation tools, release 13.0, V13.0.88` -> `13.0.88`."""
    if nvcc is None:
        return Absent()
    output = _call(run, nvcc, "--version")
    if isinstance(output, ProbeFailed):
        return output
    match = re.search(r"release (\d+\.\d+)(?:, V(\d+(?:\.\d+)+))?", output)
    if match is None:
        return ProbeFailed(f"nvcc --version says no release: {output[:80]!r}")
    return Present(match.group(2) or match.group(1))


def _probe_ninja(path: str, run: Run) -> Probe:
    ninja = shutil.which("ninja", path=path)
    if ninja is not None:
        output = _call(run, ninja, "--version")
        return output if isinstance(output, ProbeFailed) else Present(_first_line(output))
    # The wheel puts its program beside the interpreter, which may be off PATH: then a compile
    # does not find it, and that is worth telling apart from "not installed".
    if _has_ninja_package():
        return ProbeFailed("the ninja package is installed, but no ninja is on PATH")
    return Absent()


def _has_ninja_package() -> bool:
    from importlib.metadata import Distribution

    try:
        return next(iter(Distribution.discover(name="ninja")), None) is not None
    except OSError:
        return False


def _probe_compiler(environ: Mapping[str, str], path: str, run: Run) -> Probe:
    """First line of `--version` of $CXX, else of c++, g++ or clang++."""
    asked = environ.get("CXX", "").split()
    for name in (*asked[:1], "c++", "g++", "clang++"):
        compiler = shutil.which(name, path=path)
        if compiler is None:
            if name in asked:
                return ProbeFailed(f"CXX is {name!r}, which is not an executable on PATH")
            continue
        output = _call(run, compiler, "--version")
        return output if isinstance(output, ProbeFailed) else Present(_first_line(output))
    return Absent()


def _call(run: Run, program: str, argument: str) -> str | ProbeFailed:
    import subprocess

    try:
        return run(program, argument)
    except subprocess.TimeoutExpired:
        return ProbeFailed(f"{program} {argument} gave no answer in {_DEADLINE_S:g} s")
    except subprocess.CalledProcessError as error:
        return ProbeFailed(f"{program} {argument} exited with {error.returncode}")
    except (OSError, ValueError) as error:
        return ProbeFailed(f"{program} {argument}: {type(error).__name__}: {error}")


def _run(program: str, argument: str) -> str:
    import subprocess

    return subprocess.run(
        [program, argument],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_DEADLINE_S,
        encoding="utf-8",
        errors="replace",
    ).stdout


def _first_line(output: str) -> str:
    return output.strip().splitlines()[0][:200] if output.strip() else ""


def _clean(probe: Probe, redactor: Redactor) -> Probe:
    match probe:
        case Present(value):
            return Present(redactor.text(value))
        case ProbeFailed(reason):
            return ProbeFailed(redactor.text(reason))
        case Absent():
            return probe
