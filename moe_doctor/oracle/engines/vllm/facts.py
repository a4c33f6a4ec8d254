"""What a vLLM release would find out about a machine: its has_*() checks and environment reads."""

from __future__ import annotations

from typing import Any

from moe_doctor.backends.situation import Facts
from moe_doctor.core.kept import Kept
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.features import aiter as rocm_aiter
from moe_doctor.oracle.engines.vllm.features import cpu, flashinfer, integers, packages
from moe_doctor.oracle.engines.vllm.features.environ import is_nonzero

CHECKS = {
    **flashinfer.FEATURES,
    **rocm_aiter.FEATURES,
    **cpu.FEATURES,
    **packages.FEATURES,
    **integers.FEATURES,
}
"""Feature -> the release's check."""


_MADE: Kept[Facts] = Kept(2048)
_FIRST: dict[tuple[Any, ...], Facts] = {}


def make_facts(machine: MachineSnapshot, release: Release) -> Facts:
    """Everything that constraints may ask of `machine` under `release`; made once for a machine."""
    known = _MADE.find(machine, release)
    if known is None:
        known = _MADE.keep(machine, release, _one_of(_make_facts(machine, release), machine))
    return known


def _one_of(facts: Facts, machine: MachineSnapshot) -> Facts:
    """The first that are the same: many releases find out the same about a machine."""
    shown = facts.platform, facts.capability, facts.arch, facts.gpu_name, facts.cpu_arch
    found = facts.features, tuple(facts.missing.items())
    if len(_FIRST) >= 2048:
        _FIRST.clear()
    return _FIRST.setdefault((shown, found, tuple(sorted(machine.environment.items()))), facts)


def _make_facts(machine: MachineSnapshot, release: Release) -> Facts:
    gpu = machine.gpu
    answers = {name: check(machine, release) for name, check in CHECKS.items()}
    return Facts(
        platform=machine.platform,
        capability=gpu.capability if gpu is not None else None,
        arch=(gpu.arch or "") if gpu is not None else "",
        gpu_name=gpu.name if gpu is not None else "",
        cpu_arch=machine.cpu_arch,
        features=frozenset(name for name, why in answers.items() if why is None),
        missing={name: why for name, why in answers.items() if why is not None},
        batch_invariant=is_nonzero(machine.environment, "VLLM_BATCH_INVARIANT"),
        humming_gemm=machine.environment.get("VLLM_HUMMING_MOE_GEMM_TYPE", "").lower(),
    )
