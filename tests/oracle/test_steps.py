"""The founding story and the odd corners of the unquantized oracle, release by release."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present, Toolkit
from moe_doctor.core.query import MoEQuery, Parallel
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.releases import RELEASES, image_packages
from moe_doctor.oracle.engines.vllm.select import select_moe


def release_of(text: str) -> Release:
    release = parse_release(text)
    assert release is not None
    return release


def machine(
    release: str,
    platform: str = "cuda",
    capability: tuple[int, int] | None = (9, 0),
    arch: str | None = None,
    environment: dict[str, str] | None = None,
) -> MachineSnapshot:
    gpus = (Gpu("GPU", capability, arch),) if platform in ("cuda", "rocm") else ()
    return MachineSnapshot(
        platform=platform,
        gpus=gpus,
        simulated=True,
        packages={
            name: Present(version) for name, version in image_packages(release, platform).items()
        },
        toolkit=Toolkit(nvcc=Present("13.0"), ninja=Present("1.13")),
        environment=environment or {},
    )


def nemotron(**changes: object) -> MoEQuery:
    base: dict[str, object] = {
        "num_experts": 128,
        "top_k": 6,
        "hidden_size": 2688,
        "intermediate_size_per_partition": 1856,
        "num_local_experts": 128,
        "activation": "relu2_no_mul",
        "routing_method": "DeepSeekV3",
    }
    return MoEQuery(**(base | changes))  # type: ignore[arg-type]


def ask(query: MoEQuery, release: str, **where: object) -> Selection:
    here = machine(release, **where)  # type: ignore[arg-type]
    number = release_of(release)
    return select_moe("unquantized", query, make_facts(here, number), number, here.environment)


EP8 = Parallel(tp_size=1, ep_size=8, use_ep=True)
DP8 = Parallel(tp_size=1, dp_size=8, ep_size=8, use_ep=True, all2all_backend="deepep_low_latency")


def test_0_19_1_runs_triton_without_being_asked() -> None:
    selection = ask(nemotron(), "0.19.1")
    assert (selection.backend, selection.kernel, selection.runs) == (
        "TRITON",
        None,
        "TritonExperts",
    )
    assert selection.crash is None


def test_0_19_1_dies_with_lora_and_expert_parallelism() -> None:
    variables = {"VLLM_USE_FLASHINFER_MOE_FP16": "1"}
    selection = ask(
        nemotron(lora=True, parallel=EP8, num_local_experts=16), "0.19.1", environment=variables
    )
    assert selection.backend == "FlashInfer CUTLASS"
    assert selection.crash is not None
    assert selection.crash.message == "EP support for Fused MoE LoRA is not implemented yet."


def test_0_19_1_goes_wrong_silently_with_lora_and_aiter() -> None:
    selection = ask(
        nemotron(activation="silu", lora=True),
        "0.19.1",
        platform="rocm",
        capability=None,
        arch="gfx942",
        environment={"VLLM_ROCM_USE_AITER": "1"},
    )
    assert (selection.backend, selection.runs) == ("ROCm AITER", "TritonExperts")
    assert selection.crash is None
    assert "wrong numbers" in selection.hazard


def test_0_20_0_runs_flashinfer_cutlass_and_triton_with_lora() -> None:
    without, with_lora = ask(nemotron(), "0.20.0"), ask(nemotron(lora=True), "0.20.0")
    assert (without.backend, without.kernel) == ("FlashInfer CUTLASS", "FlashInferExperts")
    assert (with_lora.backend, with_lora.kernel) == ("TRITON", "TritonExperts")
    assert with_lora.note.startswith("vLLM 0.20 returns here for LoRA")


def test_0_20_0_does_not_read_moe_backend_with_lora() -> None:
    selection = ask(nemotron(lora=True, moe_backend="flashinfer_cutlass"), "0.20.0")
    assert selection.backend == "TRITON"


def test_0_33_0_prefers_triton_on_hopper() -> None:
    selection = ask(nemotron(), "0.33.0")
    assert selection.backend == "TRITON"
    assert [one.backend for one in selection.trace] == [
        "TRITON",
        "BATCHED_TRITON",
        "FlashInfer TRTLLM",
        "FlashInfer TRTLLM",
        "FlashInfer CUTLASS",
    ]


@pytest.mark.parametrize(
    ("shard", "activation", "kernel"),
    [
        (768, "silu", "TrtLlmBf16LoRAExperts"),
        (192, "silu", "TritonExperts"),
        (1920, "relu2_no_mul", "TritonExperts"),
    ],
)
def test_0_33_0_blackwell_lora_depends_on_shard_and_gate(
    shard: int, activation: str, kernel: str
) -> None:
    query = nemotron(intermediate_size_per_partition=shard, activation=activation, lora=True)
    selection = ask(query, "0.33.0", capability=(10, 0))
    assert selection.kernel == kernel


def test_an_unaligned_shard_is_a_reason_in_the_trace() -> None:
    query = nemotron(intermediate_size_per_partition=192, activation="silu", lora=True)
    reasons = {one.kernel: one.reason for one in ask(query, "0.33.0", capability=(10, 0)).trace}
    assert reasons["TrtLlmBf16LoRAExperts"] == (
        "intermediate_size_per_partition is 192; needs a multiple of 128"
    )


@pytest.mark.parametrize("release", ["0.20.0", "0.26.0", "0.33.0"])
def test_lora_behind_a_batched_dispatch_gets_a_standard_kernel_and_dies(release: str) -> None:
    selection = ask(nemotron(lora=True, parallel=DP8, num_local_experts=16), release)
    assert selection.kernel == "TritonExperts"
    assert selection.activation_format == "batched"
    assert selection.crash is not None
    assert selection.crash.type == "TypeError"


def test_explicit_backend_that_cannot_is_an_error_in_the_engines_words() -> None:
    selection = ask(nemotron(moe_backend="flashinfer_trtllm"), "0.20.0")
    assert selection.outcome is Outcome.ERROR
    assert selection.error is not None
    assert selection.error.type == "ValueError"
    assert selection.error.message == (
        "Unquantized MoE backend FlashInfer TRTLLM does not support the deployment "
        "configuration since kernel does not support current device cuda."
    )


def test_explicit_triton_means_the_batched_kernel_behind_a_batched_dispatch() -> None:
    selection = ask(nemotron(moe_backend="triton", parallel=DP8), "0.33.0")
    assert (selection.backend, selection.kernel) == ("BATCHED_TRITON", "BatchedTritonExperts")


def test_a_variable_that_left_is_not_read() -> None:
    variables = {"VLLM_USE_FLASHINFER_MOE_FP16": "0"}
    assert ask(nemotron(), "0.22.1", environment=variables).backend == "TRITON"
    blackwell = ask(nemotron(), "0.33.0", capability=(12, 0), environment=variables)
    assert blackwell.backend == "FlashInfer CUTLASS"


def test_aiter_that_cannot_is_an_error_before_0_31_0_and_a_fallback_after() -> None:
    where = {
        "platform": "rocm",
        "capability": None,
        "arch": "gfx942",
        "environment": {"VLLM_ROCM_USE_AITER": "1"},
    }
    assert ask(nemotron(), "0.30.0", **where).outcome is Outcome.ERROR
    after = ask(nemotron(), "0.31.0", **where)
    assert after.backend == "TRITON"
    assert "AITER" in after.note


@pytest.mark.parametrize(
    ("platform", "release", "backend"),
    [
        ("cpu", "0.16.0", "CPU"),
        ("cpu", "0.20.0", "CPU"),
        ("cpu", "0.33.0", "CPU"),
        ("xpu", "0.16.0", "XPU"),
        ("xpu", "0.33.0", "XPU"),
        ("tpu", "0.16.0", "TPU"),
        ("tpu", "0.33.0", "TPU"),
        ("oot", "0.20.0", "OOT"),
    ],
)
def test_platforms_with_one_path(platform: str, release: str, backend: str) -> None:
    query = nemotron(activation="silu", intermediate_size_per_partition=1024)
    assert ask(query, release, platform=platform).backend == backend


def test_without_flashinfer_the_reason_says_so() -> None:
    bare = MachineSnapshot(platform="cuda", gpus=(Gpu("H100", (9, 0)),), simulated=True)
    number = release_of("0.20.0")
    selection = select_moe("unquantized", nemotron(), make_facts(bare, number), number, {})
    reasons = {one.kernel: one.reason for one in selection.trace}
    assert selection.backend == "TRITON"
    assert reasons["FlashInferExperts"] == "needs flashinfer-python, which is not installed"


def test_flashinfer_without_cubins_and_compiler_counts_as_absent() -> None:
    packages = {"flashinfer-python": Present("0.6.8")}
    lean = MachineSnapshot("cuda", (Gpu("H100", (9, 0)),), packages=packages)
    number = release_of("0.20.0")
    selection = select_moe("unquantized", nemotron(), make_facts(lean, number), number, {})
    reasons = {one.kernel: one.reason for one in selection.trace}
    assert reasons["FlashInferExperts"] == "needs flashinfer-cubin or nvcc; neither is there"


queries = st.builds(
    MoEQuery,
    num_experts=st.sampled_from([1, 8, 60, 128, 512, 1024, 2304]),
    top_k=st.just(1),
    hidden_size=st.sampled_from([48, 1000, 2048, 7168]),
    intermediate_size_per_partition=st.sampled_from([1, 96, 128, 704, 768, 1856]),
    num_local_experts=st.integers(1, 2304),
    activation=st.sampled_from(["silu", "gelu", "relu2_no_mul", "situ", "swigluoai", "odd"]),
    routing_method=st.sampled_from(["Renormalize", "DeepSeekV3", "Unspecified", "odd"]),
    in_dtype=st.sampled_from(["bfloat16", "float16"]),
    parallel=st.builds(
        Parallel,
        tp_size=st.sampled_from([1, 8]),
        dp_size=st.sampled_from([1, 8]),
        sp_size=st.sampled_from([1, 2]),
        use_ep=st.booleans(),
        all2all_backend=st.sampled_from(
            ["allgather_reducescatter", "deepep_low_latency", "nixl_ep", "moonep", "odd"]
        ),
        enable_eplb=st.booleans(),
    ),
    lora=st.booleans(),
    moe_backend=st.sampled_from(["auto", "triton", "aiter", "batched_triton", "marlin", "odd"]),
)
machines = st.sampled_from(
    [
        ("cuda", (7, 5), None),
        ("cuda", (9, 0), None),
        ("cuda", (10, 0), None),
        ("cuda", (12, 1), None),
        ("cuda", None, None),
        ("rocm", None, "gfx942"),
        ("rocm", None, "gfx1100"),
        ("xpu", None, None),
        ("cpu", None, None),
        ("tpu", None, None),
        ("oot", None, None),
    ]
)
variables = st.sampled_from(
    [
        {},
        {"VLLM_USE_FLASHINFER_MOE_FP16": "1"},
        {"VLLM_USE_FLASHINFER_MOE_FP16": "odd"},
        {"VLLM_ROCM_USE_AITER": "1"},
        {"VLLM_BATCH_INVARIANT": "1"},
    ]
)


@given(queries, machines, variables, st.sampled_from([one.version for one in RELEASES]))
def test_an_answer_always_explains_itself(
    query: MoEQuery,
    where: tuple[str, tuple[int, int] | None, str | None],
    environment: dict[str, str],
    release: str,
) -> None:
    platform, capability, arch = where
    selection = ask(
        query,
        release,
        platform=platform,
        capability=capability,
        arch=arch,
        environment=environment,
    )
    if selection.outcome is Outcome.ERROR:
        assert selection.error is not None
        assert selection.backend is None
    else:
        assert selection.backend in [one.backend for one in selection.trace]
        assert selection.lora is query.lora
    for candidate in selection.trace:
        assert candidate.reason
        if not candidate.accepted and candidate.asked:
            assert candidate.engine_reason or query.lora
    again = ask(
        query,
        release,
        platform=platform,
        capability=capability,
        arch=arch,
        environment=environment,
    )
    assert again == selection
