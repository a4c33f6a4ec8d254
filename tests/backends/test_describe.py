"""Every kind of constraint that a kernel has is said in words of its own."""

from __future__ import annotations

from moe_doctor.backends.constraints import Activations, Constraint, Device, NoLoRA, ParallelSizes
from moe_doctor.backends.describe import DESCRIBERS, describe
from moe_doctor.backends.registry import all_kernels
from moe_doctor.backends.schemes import PLAIN, OnlyFor, pairs, quantized_only, schemes
from moe_doctor.core.support import TOPICS, Condition


def constraints() -> list[Constraint]:
    """Every constraint of every kernel, and what one wraps."""
    found = [row.constraint for kernel in all_kernels().values() for row in kernel.rows]
    return [*found, *(one.inner for one in found if isinstance(one, OnlyFor))]


def test_every_kind_has_a_describer_and_no_describer_is_left_over() -> None:
    assert {type(one).__name__ for one in constraints()} == set(DESCRIBERS)


def test_every_constraint_says_something_about_a_topic_of_the_page() -> None:
    for one in constraints():
        described = describe(one)
        assert described, one
        for condition in described:
            assert condition.topic in TOPICS
            assert condition.text or condition.items, one
            assert "frozenset" not in str(condition)


def test_a_device_is_told_platform_by_platform() -> None:
    device = Device(("cuda", "rocm"), exact=((9, 0),), majors=(10,), archs=("gfx942",))
    assert describe(device) == (Condition("devices", "", ("CUDA 9.0", "CUDA 10.x", "ROCm gfx942")),)
    minimum = Device(("cuda", "xpu"), minimum=(8, 0), feature="marlin")
    assert describe(minimum) == (
        Condition("devices", "where marlin is available", ("CUDA 8.0 or newer", "XPU")),
    )
    assert describe(Device(("cpu",), cpu_archs=("x86_64",)))[0].items == ("CPU x86_64",)


def test_formats_are_told_with_the_device_that_they_need() -> None:
    said = describe(
        schemes(
            pairs(PLAIN),
            pairs(("kW", "kA"), ("kW", None), device=Device(("cuda",), majors=(10,))),
            pairs(("kV", None), any_activation=True),
        )
    )
    assert said[0].items == (
        "plain",
        "kW x kA (CUDA 10.x)",
        "kW x plain (CUDA 10.x)",
        "kV x any",
    )


def test_parallel_sizes_are_told_one_by_one() -> None:
    sizes = ParallelSizes(refuses_all2all=frozenset({"b", "a"}), refuses_eplb=True, needs_ep=True)
    assert describe(sizes)[0].items == (
        "not behind a",
        "not behind b",
        "no EPLB",
        "only with expert parallelism",
    )


def test_a_condition_for_some_layers_says_for_which() -> None:
    said = describe(quantized_only(Activations(frozenset({"silu"}), platforms=("cuda",))))
    assert said == (Condition("activations", "on cuda, for quantized layers", ("silu",)),)
    assert describe(NoLoRA()) == (Condition("LoRA", "no"),)


def test_a_kind_without_words_says_its_docstring() -> None:
    class Unheard:
        """Needs a full moon.

        Rarely asked.
        """

    assert describe(Unheard()) == (Condition("other", "Needs a full moon"),)  # type: ignore[arg-type]
