"""Break the GPU in every way that a backend can, in children side by side with a good one.

    python tests/gpu/break_gpu.py

A plain script. Exit code 0 when every fault got its outcome, the good children passed (one beside
the faults, one after them), and the GPU's memory in use is back where it was.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.proof.case import Geometry, ProofCase, ProofPlan
from moe_doctor.proof.classify import classify
from moe_doctor.proof.runner import run_children

ROOT = Path(__file__).resolve().parents[2]
WANTED = {
    "DeviceAssert": ("crashed", "the GPU context was lost"),
    "IllegalAccess": ("crashed", "the GPU context was lost"),
    "OutOfMemory": ("crashed", "out of memory"),
    "Hangs": ("timed_out", "no answer within"),
    "IsKilled": ("crashed", "SIGKILL"),
    "Good": ("passed", ""),
}
GEOMETRY = Geometry(8, 8, 2, 2, 256, 128, 128, "silu", True, "bfloat16", "bfloat16")
TIMEOUT_S = 60.0
SLACK = 64 << 20


def main() -> int:
    """Run all, then the good one alone; print a line each."""
    before = memory_in_use()
    bad = run(tuple(WANTED)) + run(("Good",))
    deadline = time.monotonic() + 20
    while memory_in_use() > before + SLACK and time.monotonic() < deadline:
        time.sleep(0.5)
    left = memory_in_use() - before
    clean = left <= SLACK
    print(f"GPU memory in use: {left >> 20} MiB more than before: {'ok' if clean else 'WRONG'}")
    print("ok" if clean and not bad else "not as it should be")
    return 0 if clean and not bad else 1


def run(names: tuple[str, ...]) -> int:
    """How many did not end as they should."""
    plans = [
        ProofPlan(
            implementation=f"tests.gpu.gpu_faults:{name}",
            mode="gpu",
            geometry=GEOMETRY,
            routing=RoutingSpec(),
            cases=(ProofCase("first", 4), ProofCase("second", 33)),
            share=len(names),
        ).to_dict()
        for name in names
    ]
    environment = {"PYTHONPATH": str(ROOT), "TRITON_INTERPRET": "0"}
    ends = run_children(plans, environments=[environment] * len(plans), timeout_s=TIMEOUT_S)
    bad = 0
    for name, end in zip(names, ends, strict=True):
        outcome, reason = classify(end, TIMEOUT_S)
        right = outcome.value == WANTED[name][0] and WANTED[name][1] in reason
        bad += not right
        print(f"{'ok   ' if right else 'WRONG'} {name:14} {outcome.value:9} {reason[:140]}")
    return bad


def memory_in_use() -> int:
    """Bytes of the first GPU that anyone holds."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    return int(pynvml.nvmlDeviceGetMemoryInfo(handle).used)


if __name__ == "__main__":
    raise SystemExit(main())
