"""6xx proof."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

FAILED = Rule(
    "MOE601",
    "proof-failed",
    Severity.ERROR,
    "The tiny forward raised, or gave wrong numbers.",
    "The kernel ran on this machine, on this model's per-rank widths, and did not agree with an "
    "fp32 reference within the tolerance that rounding explains.",
    "Do not serve on this backend here; name another one with --moe-backend.",
)
CRASHED = Rule(
    "MOE602",
    "proof-crashed",
    Severity.ERROR,
    "The process of the tiny forward died.",
    "A segmentation fault, a device-side fault or memory running out takes a server down in the "
    "same way.",
    "Do not serve on this backend here; name another one with --moe-backend.",
)
TIMED_OUT = Rule(
    "MOE603",
    "proof-timed-out",
    Severity.ERROR,
    "The tiny forward did not end within its deadline.",
    "A kernel that hangs, or a just-in-time compile that takes longer than the deadline, holds "
    "up a "
    "server's start in the same way.",
    "Run again with a larger --timeout; when it hangs again, name another --moe-backend.",
    links=("https://github.com/vllm-project/vllm/issues/51492",),
)
NOTHING_PROVED = Rule(
    "MOE604",
    "nothing-proved-on-that-gpu",
    Severity.INFO,
    "Nothing was proved on the GPU that the answer is for.",
    "A proof runs on the machine at hand. Triton's interpreter proves that the code computes the "
    "right thing, not that a GPU runs it.",
    "Run moe-doctor check on the machine that will serve.",
)
SKIPPED = Rule(
    "MOE605",
    "proof-skipped",
    Severity.INFO,
    "A chosen backend could not be run here.",
    "The kernel needs a device or a package that this environment does not have.",
    "",
)
SHRUNK = Rule(
    "MOE606",
    "proof-with-fewer-experts",
    Severity.INFO,
    "The proof ran with fewer or narrower experts than the model has.",
    "Experts are cut to what fits into free memory or into the time that an interpreter needs; "
    "where their number alone does not do, their width is cut too.",
    "",
)
NO_KERNELS = Rule(
    "MOE607",
    "proof-needs-torch-and-triton",
    Severity.INFO,
    "torch and triton are not installed here, so nothing could be run.",
    "moe-doctor itself stays light; the kernels come as an extra.",
    "Install the extra `kernels`.",
)
SLOW_WITHOUT_GPU = Rule(
    "MOE608",
    "proof-too-slow-without-gpu",
    Severity.WARNING,
    "Without a GPU the tiny forward did not end within its deadline.",
    "Triton's interpreter runs kernels on the CPU, thousands of times slower than a GPU. That it "
    "did not end says nothing about the kernel or about the machine that will serve.",
    "Run again with a larger --timeout or on a machine with a GPU; check --level 2 runs no proof.",
)

RULES = (FAILED, CRASHED, TIMED_OUT, NOTHING_PROVED, SKIPPED, SHRUNK, NO_KERNELS, SLOW_WITHOUT_GPU)
