"""The child: the only process that runs backend code.

    python -m moe_doctor.proof.worker FD < plan.json

Reads one line of JSON (a `ProofPlan`) from stdin and writes events to descriptor FD. stdin stays
open as a lifeline: when the parent dies it closes, and a guard process ends the whole group, also
compilers that a backend may have started.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import resource
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.case import ProofPlan
from moe_doctor.proof.events import EventPipe

if TYPE_CHECKING:
    import torch

    from moe_doctor.proof.adapters.base import Adapter

_PR_SET_PDEATHSIG = 1


def main() -> NoReturn:
    """Run the plan on stdin and exit without the teardown of libraries, which can crash."""
    pipe = EventPipe(int(sys.argv[1]))
    line = _read_line()
    _guard(pipe.descriptor)
    faulthandler.enable()
    try:
        code = _run(ProofPlan.from_dict(json.loads(line)), pipe)
    except BaseException as error:
        _report(error, pipe)
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(plan: ProofPlan, pipe: EventPipe) -> int:
    pipe.send("step", name=f"loading {plan.implementation}")
    module, _, name = plan.implementation.partition(":")
    adapter: Adapter = getattr(importlib.import_module(module), name)()
    pipe.send("step", name="importing torch")
    try:
        import torch
    except ModuleNotFoundError as error:
        pipe.send("unavailable", reason=f"{error}: pip install 'moe-doctor[kernels]'")
        return 0
    device = torch.device("cuda" if plan.mode == "gpu" else "cpu")
    if plan.mode == "gpu" and not torch.cuda.is_available():
        pipe.send("unavailable", reason=f"torch {torch.__version__} sees no GPU here")
        return 0
    from moe_doctor.proof.plan import fit_memory

    free = _free_bytes(device)
    geometry = plan.geometry
    if free is not None:
        fitted = fit_memory(geometry, plan.lora, free // plan.share)
        if fitted is None:
            need = geometry.weight_bytes_per_expert
            pipe.send("unavailable", reason=f"one expert takes {need} bytes; {free} are free")
            return 0
        geometry = fitted
    from moe_doctor.proof.inputs import make_weights

    pipe.send("step", name="making weights")
    # The reference must be fp32 in earnest, also where the user's settings allow TF32.
    torch.backends.cuda.matmul.allow_tf32 = False
    weights = make_weights(geometry, plan.lora, device)
    pipe.send("step", name="preparing the backend")
    try:
        layout = adapter.prepare(weights)
    except UnfitError as error:
        pipe.send("unavailable", reason=str(error))
        return 0
    meant = adapter.meant(weights)
    pipe.send(
        "ready",
        device=torch.cuda.get_device_name(device) if plan.mode == "gpu" else "",
        implementation=adapter.ran(layout),
        geometry=geometry.to_dict(),
        versions={"torch": torch.__version__},
    )
    from moe_doctor.proof.plan import fit_routing
    from moe_doctor.proof.trials import run_trial

    routing = fit_routing(plan.routing, plan.geometry.num_experts, geometry)
    for case in plan.cases:
        pipe.send("step", name=f"case {case.name}, {case.num_tokens} tokens")
        pipe.send("case", **run_trial(adapter, layout, meant, case, routing))
    pipe.send("done")
    return 0


def _free_bytes(device: torch.device) -> int | None:
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a kernel file
            available = next(line for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return None
    return int(available.split()[1]) * 1024


def _report(error: BaseException, pipe: EventPipe) -> None:
    """Say what was raised; the kinds are what the parent cannot tell from an exit code."""
    import traceback

    traceback.print_exception(error)
    with contextlib.suppress(OSError):  # the parent is gone: nobody is left to tell
        pipe.send("error", kind=_kind(error), type=type(error).__name__, message=str(error)[:2000])


def _kind(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out_of_memory"  # no memory to import anything with
    if "torch" not in sys.modules:
        return "exception"
    from moe_doctor.proof.trials import kind_of

    return kind_of(error)


def _read_line() -> bytes:
    """The plan, byte by byte: what follows the newline belongs to the guard."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(0, 4096)
        if not byte:
            break
        line += byte
    return bytes(line)


def _guard(descriptor: int) -> None:
    """Die with the parent, leave no core file, and be what the kernel's OOM killer picks first."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
        score.write("1000")
    if os.fork() == 0:
        _watch_lifeline(descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if sys.platform == "linux":
        # Belt beside the braces: the guard may be killed first.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch_lifeline(descriptor: int) -> NoReturn:
    """In the guard process: wait for the parent's end of stdin to close, then end the group."""
    os.close(descriptor)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    while os.read(0, 4096):
        continue
    os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
