from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present, Toolkit
from moe_doctor.kernels.activations import SWIGLU_OAI
from moe_doctor.proof.adapters.base import Question
from moe_doctor.proof.adapters.flashinfer_cutlass import FlashInferCutlassAdapter
from moe_doctor.proof.adapters.flashinfer_modules import (
    build_environment,
    count_jobs,
    find_module,
    module_name,
)
from moe_doctor.proof.adapters.reference import ReferenceAdapter
from moe_doctor.proof.adapters.triton import ACTIVATIONS, TritonAdapter

KERNELS = {"torch": Present("2.11.0"), "triton": Present("3.6.0")}
FLASHINFER = {**KERNELS, "flashinfer-python": Present("0.6.13")}
H100 = MachineSnapshot("cuda", gpus=(Gpu("NVIDIA H100", (9, 0)),), packages=FLASHINFER)
B200 = replace(H100, gpus=(Gpu("NVIDIA B200", (10, 0)),))
SWIGLU = Question(H100, "bfloat16", "silu", gated=True, lora=False)


@pytest.fixture
def no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLASHINFER_WORKSPACE_BASE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (replace(SWIGLU, lora=True), "takes no LoRA adapters"),
        (replace(SWIGLU, machine=MachineSnapshot("cpu")), "this machine's platform is cpu"),
        (
            replace(SWIGLU, machine=replace(H100, gpus=(Gpu("A100", (8, 0)),))),
            "needs compute capability 9.0, 10.x, 11.x or 12.x; this GPU's is 8.0",
        ),
        (replace(SWIGLU, activation="gelu"), "this layer is gated gelu"),
        (replace(SWIGLU, dtype="float32"), "these are float32"),
        (
            replace(SWIGLU, machine=replace(H100, packages=KERNELS)),
            "flashinfer-python not installed: pip install 'moe-doctor[flashinfer]'",
        ),
        (replace(SWIGLU, machine=replace(H100, packages={})), "pip install 'moe-doctor[kernels]'"),
        (replace(SWIGLU, scheme="int8_channel"), "these weights are int8_channel"),
        (replace(SWIGLU, has_bias=True, limit=7.0), "this layer has a bias and a clamp"),
        (
            replace(SWIGLU, scheme="fp8_block_128x128", machine=B200),
            "takes fp8_block_128x128 weights on compute capability 9.0 alone; this GPU's is 10.0",
        ),
        (replace(SWIGLU, scheme="int4_g128"), "these weights are int4_g128"),
        (replace(SWIGLU, has_bias=True), "takes a bias and a clamp with mxfp4 alone"),
        (replace(SWIGLU, scheme="mxfp4", dtype="float16"), "these are float16"),
        (SWIGLU, "fused_moe_90.so is not built for this machine"),
    ],
)
def test_flashinfer_says_what_it_needs(question: Question, reason: str, no_cache: Path) -> None:
    assert reason in (FlashInferCutlassAdapter().unavailable(question) or "")


def test_a_compiled_module_in_the_users_cache_is_found(no_cache: Path) -> None:
    built = no_cache / ".cache/flashinfer/0.6.13/90a/cached_ops/fused_moe_90/fused_moe_90.so"
    built.parent.mkdir(parents=True)
    built.touch()
    assert find_module((9, 0), "0.6.13") == built
    assert find_module((9, 0), "0.6.12") is None
    assert FlashInferCutlassAdapter().unavailable(SWIGLU) is None


@pytest.mark.parametrize(
    ("capability", "name"),
    [((9, 0), "fused_moe_90"), ((10, 3), "fused_moe_103"), ((12, 1), "fused_moe_120")],
)
def test_the_module_is_named_after_the_family(capability: tuple[int, int], name: str) -> None:
    assert module_name(capability) == name


WITH_TOOLS = replace(
    H100, toolkit=Toolkit(nvcc=Present("13.0"), ninja=Present("1.13")), memory_bytes=48 << 30
)


def test_a_missing_module_says_what_building_it_takes(
    no_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(32)), raising=False)
    monkeypatch.delenv("MAX_JOBS", raising=False)
    reason = FlashInferCutlassAdapter().unavailable(replace(SWIGLU, machine=WITH_TOOLS))
    assert reason == (
        "fused_moe_90.so is not built for this machine, and building it takes 182 files, about 135 "
        "minutes here with 4 jobs of up to 8 GiB each: --build does it; or install the "
        "flashinfer-jit-cache wheel of the same release"
    )


@pytest.mark.parametrize(
    ("memory", "max_jobs", "jobs"),
    [(48 << 30, "", 4), (1 << 40, "", 32), (4 << 30, "", 1), (1 << 40, "6", 6), (None, "many", 32)],
)
def test_jobs_fit_the_memory_and_the_cores(
    memory: int | None, max_jobs: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(32)), raising=False)
    monkeypatch.setenv("MAX_JOBS", max_jobs)
    assert count_jobs(memory) == jobs


def test_a_build_is_allowed_where_its_tools_are(no_cache: Path) -> None:
    adapter = FlashInferCutlassAdapter()
    assert adapter.unavailable(replace(SWIGLU, machine=WITH_TOOLS, build=True)) is None
    reason = adapter.unavailable(replace(SWIGLU, build=True))
    assert reason == "fused_moe_90.so is not built, and --build needs nvcc and ninja on PATH"
    needed = adapter.build(WITH_TOOLS)
    assert needed is not None
    assert build_environment(needed)["MAX_JOBS"] == str(needed.jobs)
    assert needed.deadline_s >= 600


def test_flashinfer_never_starts_a_build() -> None:
    assert FlashInferCutlassAdapter().environment(H100)["FLASHINFER_DISABLE_JIT"] == "1"


def test_triton_interprets_without_a_gpu_and_only_then() -> None:
    adapter = TritonAdapter()
    assert adapter.mode(H100) == "gpu"
    assert adapter.environment(H100)["TRITON_INTERPRET"] == "0"
    assert adapter.mode(MachineSnapshot("cpu")) == "interpreter"
    assert adapter.environment(MachineSnapshot("cpu"))["TRITON_INTERPRET"] == "1"


def test_triton_names_an_activation_that_it_does_not_have() -> None:
    reason = TritonAdapter().unavailable(replace(SWIGLU, activation="swiglustep"))
    assert reason == (
        "activation is swiglustep; our Triton kernel has silu, gelu, gelu_tanh, relu, relu2, "
        "swigluoai, swigluoai_uninterleave"
    )


def test_the_adapter_lists_exactly_what_the_kernels_know() -> None:
    details = pytest.importorskip("moe_doctor.kernels.fused_moe_details._activation")
    assert ("none", *ACTIVATIONS) == (*details.ACTIVATIONS, *SWIGLU_OAI)


def test_fp8_on_mi300_is_refused_for_its_own_fp8_type() -> None:
    rocm = MachineSnapshot("rocm", gpus=(Gpu("MI300X", None, "gfx942"),), packages=KERNELS)
    question = replace(SWIGLU, machine=rocm, scheme="fp8_tensor")
    reason = TritonAdapter().unavailable(question)
    assert reason == "gfx942 multiplies e4m3fnuz; our Triton kernel has e4m3"
    assert TritonAdapter().unavailable(replace(question, scheme="int4_g128")) is None


def test_plain_torch_says_which_schemes_it_cannot_follow() -> None:
    adapter = ReferenceAdapter()
    assert "one scale for all tokens" in (
        adapter.unavailable(replace(SWIGLU, scheme="fp8_tensor")) or ""
    )
    assert "none can be merged" in (
        adapter.unavailable(replace(SWIGLU, scheme="fp8_channel", lora=True)) or ""
    )
    assert adapter.unavailable(replace(SWIGLU, scheme="int4_g32", lora=True)) is None


def test_the_interpreter_without_numpy_is_skipped_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen in a fresh environment: torch and triton install without numpy."""
    cpu = MachineSnapshot("cpu", packages={"torch": Present("2.13.0"), "triton": Present("3.9.0")})
    monkeypatch.setattr("moe_doctor.proof.adapters.triton.find_spec", lambda name: None)
    reason = TritonAdapter().unavailable(replace(SWIGLU, machine=cpu))
    assert reason is not None
    assert "pip install 'moe-doctor[kernels]'" in reason
    on_gpu = replace(H100, packages={"torch": Present("2.11.0"), "triton": Present("3.6.0")})
    assert TritonAdapter().unavailable(replace(SWIGLU, machine=on_gpu)) is None
