"""Pages of backends, checked against the oracle that judges by the same tables."""

from __future__ import annotations

import pytest

from moe_doctor.backends.registry import kernels_of
from moe_doctor.core.errors import UnknownNameError
from moe_doctor.core.release import parse_release
from moe_doctor.core.support import Condition, Held, KernelPage
from moe_doctor.oracle.engines.vllm.layer_options import moe_backends
from moe_doctor.oracle.engines.vllm.releases import RELEASES
from moe_doctor.oracle.engines.vllm.select import ORACLES, load_oracle
from moe_doctor.oracle.support import backend_page, kernel_names, option_names


def ranges(page: KernelPage, topic: str) -> tuple[Held, ...]:
    return next(one.ranges for one in page.topics if one.topic == topic)


def test_flashinfer_cutlass_takes_no_lora_from_0_20_on() -> None:
    (kernel,) = backend_page("flashinfer_cutlass").kernels
    assert kernel.name == "FlashInferExperts"
    assert ranges(kernel, "LoRA") == (
        Held("0.16.0", "0.19.1", ()),
        Held("0.20.0", "0.33.0", (Condition("LoRA", "no"),)),
    )
    last = ranges(kernel, "devices")[-1]
    assert (last.since, last.until) == ("0.21.0", "0.33.0")
    assert last.conditions[0].items == ("CUDA 9.0", "CUDA 10.x", "CUDA 12.x")


def test_the_option_is_known_from_0_17_and_the_backend_before_it() -> None:
    page = backend_page("flashinfer-cutlass")
    assert page.accepted == ("0.17.0", "0.33.0")
    unquantized = [one for one in page.asked_by if one.oracle == "unquantized"]
    assert [(one.option, one.since, one.until) for one in unquantized] == [
        (None, "0.16.0", "0.16.0"),
        ("flashinfer_cutlass", "0.17.0", "0.33.0"),
    ]


def test_a_class_and_a_name_from_the_log_have_pages_too() -> None:
    assert backend_page("tritonexperts").name == "TritonExperts"
    assert backend_page("TritonExperts").accepted is None
    assert backend_page("FlashInfer CUTLASS") == backend_page("flashinfer_cutlass")


def test_an_option_of_no_oracle_says_since_when_it_is_accepted() -> None:
    page = backend_page("deep_gemm_mega_moe")
    assert (page.accepted, page.asked_by, page.kernels) == (("0.20.0", "0.33.0"), (), ())


def test_an_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError) as caught:
        backend_page("flashinfer_cutlas")
    assert caught.value.nearest[0] == "flashinfer_cutlass"


@pytest.mark.parametrize("name", [*option_names(), *kernel_names()])
def test_every_name_has_a_page_whose_ranges_are_in_order(name: str) -> None:
    page = backend_page(name)
    assert {asked.oracle for asked in page.asked_by} <= set(ORACLES)
    for kernel in page.kernels:
        for topic in kernel.topics:
            bounds = [
                parse_release(version) for one in topic.ranges for version in (one.since, one.until)
            ]
            assert bounds == sorted(bounds, key=lambda release: release or (0, 0, 0))
            assert all(
                one.conditions != other.conditions or one.until != other.since
                for one, other in zip(topic.ranges, topic.ranges[1:], strict=False)
            )


def test_what_a_page_says_of_lora_is_what_the_tables_ask() -> None:
    for name in kernel_names():
        for held in ranges(backend_page(name).kernels[0], "LoRA"):
            release = parse_release(held.since)
            assert release is not None
            kinds = {type(one).__name__ for one in kernels_of(release)[name].constraints}
            refused = bool(kinds & {"NoLoRA", "NoLoRAFirst"})
            assert bool(held.conditions) is refused, (name, held)


def test_no_page_and_no_answer_names_an_option_that_no_release_takes() -> None:
    taken = set(option_names())
    for page in map(
        backend_page, ("cpu", "xpu", "FLASHINFER_CUTLASS_MXFP4_MXFP8", "FLASHINFER_TRTLLM")
    ):
        assert {one.option for one in page.asked_by if one.option} <= taken
    for release in (one.release for one in RELEASES):
        for name in ORACLES:
            rows = load_oracle(name).at(release)[0].values()
            options = {row.option for row in rows if row.option}
            assert options <= set(moe_backends(release)), (name, release)
