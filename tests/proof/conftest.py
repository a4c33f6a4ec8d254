"""Plans for children that run the adapters of `faults`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from moe_doctor.core.spec import RoutingSpec
from moe_doctor.proof.case import Geometry, ProofCase, ProofPlan

ROOT = Path(__file__).resolve().parents[2]
SMALL = Geometry(4, 4, 2, 2, 32, 16, 16, "silu", True, "float32", "float32")


@pytest.fixture(scope="session")
def torch_is_there() -> None:
    """Skip where no child could run anything."""
    for name in ("torch", "triton"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed: pip install 'moe-doctor[kernels]'")


def fault_plan(name: str) -> ProofPlan:
    """Two small cases on the adapter `name` of `faults`."""
    return ProofPlan(
        implementation=f"tests.proof.faults:{name}",
        mode="cpu",
        geometry=SMALL,
        routing=RoutingSpec(),
        cases=(ProofCase("first", 2), ProofCase("second", 3)),
    )
