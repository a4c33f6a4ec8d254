"""Releases that find out the same about a machine share what they find, and not their words."""

from __future__ import annotations

import pytest

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.report import Engine
from moe_doctor.core.request import MachineRequest
from moe_doctor.oracle.answer import PLAIN_MODEL, select_layers
from moe_doctor.oracle.engines.vllm.found import find_place
from moe_doctor.probes.simulate import simulate_machine

MACHINES = [
    MachineRequest(platform="cpu"),
    MachineRequest(gpu="mi300x"),
    MachineRequest(gpu="h100", without_packages=("all",)),
]
RELEASES = ("0.16.0", "0.17.0", "0.33.0")


def words(request: MachineRequest, order: tuple[str, ...], name: str) -> dict[str, list[object]]:
    """The trace by release, asked in an order, on a machine that nothing is known of."""
    packages = {"torch": "2.11.0", "triton": "3.6.0"}
    machine = simulate_machine(request, packages=packages)
    machine.environment[name] = "1"  # type: ignore[index] # a simulated machine's is its own
    found: dict[str, list[object]] = {}
    for release in order:
        for lora in (False, True):
            (answer,) = select_layers(
                PLAIN_MODEL, Deployment(), machine, Engine("vllm", release), lora=lora
            )
            said = [candidate.to_dict() for candidate in answer.selection.trace]
            found.setdefault(release, []).extend(said)
    return found


@pytest.mark.parametrize("request_", MACHINES, ids=lambda one: one.gpu or one.platform)
def test_the_order_of_questions_does_not_matter(request_: MachineRequest) -> None:
    there = words(request_, RELEASES, f"VLLM_FIRST_{id(request_)}")
    back = words(request_, RELEASES[::-1], f"VLLM_SECOND_{id(request_)}")
    assert there == back


def test_the_oldest_release_names_no_device_whatever_was_asked_before() -> None:
    told = str(words(MACHINES[2], ("0.17.0", "0.16.0"), "VLLM_THIRD"))
    newer, oldest = told.split("'0.16.0'")
    assert "kernel does not support current device cuda" in newer
    assert "kernel does not support current device" in oldest
    assert "kernel does not support current device cuda" not in oldest


def test_machines_that_look_the_same_are_one_machine_to_the_oracles() -> None:
    first, second = (simulate_machine(MACHINES[1], packages={"torch": "2.11.0"}) for _ in range(2))
    assert find_place(first, (0, 30, 0)).facts is find_place(second, (0, 31, 0)).facts
