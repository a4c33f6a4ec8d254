"""What each family of checks says about literal cases."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moe_doctor.checks.judge import judge
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Severity
from moe_doctor.core.machine import (
    Absent,
    Gpu,
    MachineSnapshot,
    Present,
    ProbeFailed,
    Toolkit,
)
from moe_doctor.core.request import MachineRequest, Request
from moe_doctor.core.spec import ModelSpec, ParseNote, QuantSpec
from tests.checks.cases import NEMOTRON, QWEN, codes, find, make_case, make_machine

EP8 = Deployment(tensor_parallel_size=8, expert_parallel=True)


def test_the_founding_story_of_0_20_0_is_one_warning_and_two_defects_of_that_release() -> None:
    assert codes(make_case()) == ["MOE412", "MOE506", "MOE509"]
    assert find(make_case(), "MOE412").message == (
        "LoRA moves 23 layers from FlashInfer CUTLASS (FlashInferExperts) to TRITON (TritonExperts)"
    )


def test_a_backend_without_a_class_is_an_error_of_its_own_with_and_without_adapters() -> None:
    declared = {"quant_method": "gptq", "bits": 4, "group_size": 64, "sym": True}
    stored = QuantSpec("gptq", details={**declared, "desc_act": False})
    layers = tuple(
        replace(one, spec=replace(one.spec, quantization=stored)) for one in QWEN.moe_layers
    )
    model = replace(QWEN, moe_layers=layers, declared=stored)
    machine = make_machine("0.28.0", "NVIDIA GeForce RTX 4090")
    asked = Deployment(quantization="humming")
    case = make_case(model, "0.28.0", machine, asked)
    assert [code for code in codes(case) if code > "MOE400"] == ["MOE407"]
    assert find(case, "MOE407").message == (
        "vLLM 0.28.0 gives 48 layers to HUMMING, none of whose classes fits (takes other formats "
        "than uint4b8 1x64 weights with plain inputs on sm_89); the server dies with "
        "AssertionError once the weights are loaded"
    )


def test_the_founding_crash_of_0_19_1_is_an_error_with_a_command() -> None:
    finding = find(make_case(release="0.19.1", deployment=EP8), "MOE501")
    assert "EP support for Fused MoE LoRA is not implemented yet." in finding.message
    assert finding.remediation is not None
    assert finding.remediation.commands == (
        "vllm serve nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16 --enable-lora "
        "--tensor-parallel-size 8",
    )


@pytest.mark.parametrize(
    ("release", "found"),
    [("0.16.0", False), ("0.17.0", True), ("0.19.1", True), ("0.23.0", True), ("0.24.0", False)],
)
def test_base_requests_keep_an_adapter_until_0_24_0(release: str, found: bool) -> None:
    assert ("MOE506" in codes(make_case(release=release))) is found
    if found:
        assert find(make_case(release=release), "MOE506").message == (
            f"with adapters loaded, vLLM {release} keeps the adapter of the batch before in "
            "batches without one, up to 2 tokens times max_loras"
        )


def quantized(method: str, details: dict[str, Any]) -> ModelSpec:
    """Qwen's layers, stored as `details` says."""
    layers = QWEN.moe_layers[0]
    spec = replace(layers.spec, quantization=QuantSpec(method, details=details))
    return replace(QWEN, moe_layers=(replace(layers, spec=spec),))


FP8_QWEN = quantized(
    "fp8",
    {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
)


@pytest.mark.parametrize(
    ("model", "release", "found"),
    [
        (FP8_QWEN, "0.19.1", []),
        (FP8_QWEN, "0.20.0", ["MOE507"]),
        (FP8_QWEN, "0.20.2", ["MOE507"]),
        (FP8_QWEN, "0.22.0", ["MOE508"]),
        (FP8_QWEN, "0.23.0", ["MOE508"]),
        (FP8_QWEN, "0.24.0", []),
        (QWEN, "0.20.0", []),
        (QWEN, "0.22.0", []),
    ],
)
def test_adapters_read_quantized_inputs_from_0_20_0_to_0_23_0(
    model: ModelSpec, release: str, found: list[str]
) -> None:
    told = codes(make_case(model, release=release))
    assert [code for code in told if code in ("MOE507", "MOE508")] == found


@pytest.mark.parametrize(
    ("release", "found"), [("0.16.0", True), ("0.21.0", True), ("0.22.0", False)]
)
def test_a_full_batch_beside_base_requests_has_no_room_until_0_22_0(
    release: str, found: bool
) -> None:
    case = make_case(QWEN, release)
    assert ("MOE509" in codes(case)) is found
    if found:
        remediation = find(case, "MOE509").remediation
        assert remediation is not None
        assert remediation.commands == (
            "vllm serve Qwen/Qwen3-30B-A3B --enable-lora --max-loras 2",
        )


@pytest.mark.parametrize(
    ("release", "rank", "found"),
    [
        ("0.21.0", 256, False),
        ("0.22.0", 256, True),
        ("0.22.0", 128, False),
        ("0.31.0", 512, True),
        ("0.32.0", 256, False),
    ],
)
def test_ranks_above_128_die_in_the_warm_up_from_0_22_0_to_0_31_0(
    release: str, rank: int, found: bool
) -> None:
    deployment = Deployment(max_lora_rank=rank)
    case = make_case(QWEN, release, deployment=deployment)
    assert ("MOE510" in codes(case)) is found
    if found:
        assert f"got rank={rank}" in find(case, "MOE510").message


def test_other_platforms_kernels_have_no_such_defects() -> None:
    case = make_case(QWEN, "0.20.0", MachineSnapshot("xpu", simulated=True))
    assert not {"MOE506", "MOE509"} & set(codes(case))


def test_experts_spread_over_ranks_keep_no_adapter() -> None:
    assert "MOE506" not in codes(make_case(release="0.22.1", deployment=EP8))


def test_aiter_with_lora_before_0_20_0_is_wrong_numbers() -> None:
    amd = MachineSnapshot(
        "rocm",
        (Gpu("AMD Instinct MI300X", arch="gfx942"),),
        simulated=True,
        packages={"aiter": Present("")},
        environment={"VLLM_ROCM_USE_AITER": "1"},
    )
    finding = find(make_case(QWEN, "0.19.1", amd), "MOE502")
    assert "wrong numbers without an error" in finding.message
    assert finding.remediation is not None
    assert finding.remediation.commands == (
        "env -u VLLM_ROCM_USE_AITER vllm serve Qwen/Qwen3-30B-A3B --enable-lora",
    )


@pytest.mark.parametrize("release", ["0.20.0", "0.33.0"])
def test_lora_behind_deepep_low_latency_is_named_as_vllms_defect(release: str) -> None:
    deployment = Deployment(
        data_parallel_size=8, expert_parallel=True, all2all_backend="deepep_low_latency"
    )
    finding = find(make_case(QWEN, release, deployment=deployment), "MOE503")
    assert "TritonExperts, standard format" in finding.message
    assert finding.remediation is not None
    assert finding.remediation.commands[0].endswith(
        "--enable-expert-parallel --all2all-backend allgather_reducescatter"
    )


def test_an_ignored_moe_backend_is_a_warning() -> None:
    case = make_case(deployment=Deployment(moe_backend="flashinfer_cutlass"))
    assert "MOE403" in codes(case)


def test_a_refusal_of_the_oracle_is_an_error_with_every_reason() -> None:
    case = make_case(deployment=Deployment(moe_backend="flashinfer_trtllm"))
    finding = find(case, "MOE401")
    assert "does not support the deployment configuration" in finding.message
    assert finding.evidence["TrtLlmBf16Experts"] == (
        "needs compute capability 10.x; this GPU is 9.0"
    )


UNREADABLE = {
    "quant_method": "fp8",
    "activation_scheme": "dynamic",
    "weight_block_size": [0, -1],
}


def test_a_scheme_that_the_tables_do_not_know_gets_no_guess() -> None:
    case = make_case(quantized("fp8", UNREADABLE))
    assert codes(case) == ["MOE402"]
    assert all(one.backend is None for one in case.selections)


def test_the_parsers_notes_become_findings() -> None:
    noted = replace(
        QWEN,
        notes=(
            ParseNote("unknown-family", "model_type is 'new'"),
            ParseNote("hub-unreachable", "the hub did not answer"),
            ParseNote("something-else", "assumed k"),
        ),
    )
    assert [code for code in codes(make_case(noted)) if code[3] == "3"] == [
        "MOE301",
        "MOE302",
        "MOE303",
    ]


def test_an_untuned_shape_names_the_file_that_vllm_looks_for() -> None:
    finding = find(make_case(QWEN, "0.33.0"), "MOE803")
    assert finding.evidence["file"] == "E=128,N=768,device_name=NVIDIA_H100_80GB_HBM3.json"


def test_a_tuned_shape_is_silent() -> None:
    assert "MOE803" not in codes(make_case(NEMOTRON, "0.33.0"))


def test_unaligned_trtllm_shard_is_an_error_until_it_is_padded() -> None:
    deployment = Deployment(tensor_parallel_size=8)
    machine = make_machine("0.28.0", "NVIDIA B200")
    assert "MOE702" in codes(make_case(QWEN, "0.28.0", machine, deployment))
    machine = make_machine("0.29.0", "NVIDIA B200")
    assert "MOE702" not in codes(make_case(QWEN, "0.29.0", machine, deployment))


def test_all2all_without_expert_parallelism_does_nothing() -> None:
    deployment = Deployment(tensor_parallel_size=8, all2all_backend="deepep_high_throughput")
    assert "MOE701" in codes(make_case(QWEN, "0.33.0", deployment=deployment))


def test_an_all2all_without_its_package_is_an_error() -> None:
    spread = Deployment(
        data_parallel_size=2, expert_parallel=True, all2all_backend="deepep_low_latency"
    )
    assert "MOE704" not in codes(make_case(QWEN, "0.26.0", deployment=spread))
    machine = make_machine("0.26.0")
    packages = {name: probe for name, probe in machine.packages.items() if name != "deep-ep"}
    machine = replace(machine, packages=packages)
    finding = find(make_case(QWEN, "0.26.0", machine, deployment=spread), "MOE704")
    assert finding.severity is Severity.ERROR
    assert finding.message == (
        "--all2all-backend deepep_low_latency needs deep-ep, which is not installed: vLLM 0.26.0 "
        "stops while it starts and does not fall back"
    )
    # Removed in 0.17: vLLM warns and takes another.
    pplx = Deployment(data_parallel_size=2, expert_parallel=True, all2all_backend="pplx")
    assert "MOE704" not in codes(make_case(QWEN, "0.26.0", machine, deployment=pplx))
    assert "MOE704" in codes(make_case(QWEN, "0.16.0", make_machine("0.16.0"), deployment=pplx))


def test_more_ranks_than_the_real_machine_has_gpus_are_named() -> None:
    machine = replace(make_machine("0.26.0"), simulated=False)
    sizes = Deployment(tensor_parallel_size=4, data_parallel_size=2)
    finding = find(make_case(QWEN, "0.26.0", machine, deployment=sizes), "MOE705")
    assert finding.message.startswith(
        f"the deployment has 8 ranks and this machine {len(machine.gpus)} GPU"
    )
    assert "World size (4) is larger" in finding.message
    simulated = replace(machine, simulated=True)
    assert "MOE705" not in codes(make_case(QWEN, "0.26.0", simulated, deployment=sizes))


def test_a_variable_of_older_releases_is_named_with_its_last_reader() -> None:
    machine = make_machine("0.33.0", environment={"VLLM_USE_FLASHINFER_MOE_FP16": "1"})
    finding = find(make_case(QWEN, "0.33.0", machine), "MOE205")
    assert finding.message == (
        "VLLM_USE_FLASHINFER_MOE_FP16=1 is set, but vLLM 0.33.0 does not read it: "
        "it was last read by vLLM 0.23.0"
    )


@pytest.mark.parametrize(
    ("release", "name", "said", "remedy"),
    [
        (
            "0.20.0",
            "VLLM_MOE_FORCE_MARLIN",
            "VLLM_MOE_FORCE_MARLIN is set, but vLLM 0.20.0 does not read it: "
            "it is read by no release from 0.16.0 on",
            "Use --moe-backend",
        ),
        (
            "0.20.0",
            "VLLM_USE_FLASHINFER_MOE_PF16",
            "VLLM_USE_FLASHINFER_MOE_PF16 is set, but vLLM 0.20.0 does not read it: "
            "it is read by no release from 0.16.0 on",
            "Correct the name; nearest: VLLM_USE_FLASHINFER_MOE_FP16, ",
        ),
        (
            "0.20.0",
            "VLM_USE_DEEP_GEMM",
            "VLM_USE_DEEP_GEMM is set, but vLLM 0.20.0 does not read it: "
            "it is read by no release from 0.16.0 on",
            "Correct the name; nearest: VLLM_USE_DEEP_GEMM, ",
        ),
        (
            "0.20.0",
            "VLLM_TRITON_USE_TD",
            "VLLM_TRITON_USE_TD=1 is set, but vLLM 0.20.0 does not read it: "
            "it is first read by vLLM 0.26.0",
            "Unset it, or run a release that reads it.",
        ),
        (
            "0.20.0",
            "VLLM_FUSED_MOE_CHUNK_SIZE",
            "VLLM_FUSED_MOE_CHUNK_SIZE=1 is set, but vLLM 0.20.0 does not read it: "
            "it was last read by vLLM 0.17.1",
            "Unset it, or run a release that reads it.",
        ),
        (
            "0.20.0",
            "VLLM_QQQ",
            "VLLM_QQQ is set, but vLLM 0.20.0 does not read it: "
            "it is read by no release from 0.16.0 on",
            "Unset it; no variable of any release has a name like it.",
        ),
        (
            "0.20.0",
            "VLLM_ATTENTION_BACKEND",
            "VLLM_ATTENTION_BACKEND is set, but vLLM 0.20.0 does not read it: "
            "it is read by no release from 0.16.0 on",
            "Use --attention-backend, which took its place.",
        ),
    ],
)
def test_a_variable_that_the_release_does_not_read_is_named(
    release: str, name: str, said: str, remedy: str
) -> None:
    machine = make_machine(release, environment={name: "1"})
    finding = find(make_case(machine=machine, release=release), "MOE205")
    assert finding.message == said
    assert finding.remediation is not None
    assert finding.remediation.text.startswith(remedy)


@pytest.mark.parametrize(
    "name",
    ["VLLM_LOGGING_LEVEL", "NCCL_DEBUG", "VLLM_SERVICE_HOST", "VLLM_PORT_8000_TCP_ADDR", "TP_SIZE"],
)
def test_a_variable_that_is_read_or_is_nobodys_mistake_is_silent(name: str) -> None:
    machine = make_machine(environment={name: "1"})
    assert "MOE205" not in codes(make_case(machine=machine))


@pytest.mark.parametrize("value", ["tcp://10.0.0.1:8000", "<set>"])
def test_a_port_that_kubernetes_set_is_an_error(value: str) -> None:
    finding = find(make_case(machine=make_machine(environment={"VLLM_PORT": value})), "MOE206")
    assert finding.remediation is not None
    assert "enableServiceLinks: false" in finding.remediation.text
    assert "MOE206" not in codes(make_case(machine=make_machine(environment={"VLLM_PORT": "80"})))


def test_a_value_that_int_cannot_read_is_an_error() -> None:
    machine = make_machine(environment={"VLLM_BATCH_INVARIANT": "yes"})
    assert "MOE206" in codes(make_case(machine=machine))


@pytest.mark.parametrize(
    ("cubin", "found"),
    [("0.6.8.post1", False), ("0.6.8.post1+cu130", False), ("0.6.8", True), ("0.6.80", True)],
)
def test_flashinfers_packages_must_be_of_one_version(cubin: str, found: bool) -> None:
    machine = make_machine()
    machine = replace(machine, packages={**machine.packages, "flashinfer-cubin": Present(cubin)})
    assert ("MOE202" in codes(make_case(machine=machine))) is found


def test_flashinfer_without_cubins_and_compiler_is_a_warning() -> None:
    machine = make_machine()
    machine = replace(
        machine,
        packages={**machine.packages, "flashinfer-cubin": Absent()},
        toolkit=Toolkit(),
    )
    assert "MOE203" in codes(make_case(machine=machine))


def test_broken_metadata_and_driver_are_evidence() -> None:
    machine = replace(
        make_machine(),
        driver=ProbeFailed("Driver/library version mismatch"),
        packages={**make_machine().packages, "triton": ProbeFailed("no Version")},
    )
    assert {"MOE102", "MOE204"} <= set(codes(make_case(machine=machine)))


def test_gpus_of_two_kinds_are_a_warning() -> None:
    machine = make_machine()
    machine = replace(machine, gpus=(*machine.gpus, Gpu("NVIDIA A100-SXM4-80GB", (8, 0))))
    assert "MOE103" in codes(make_case(machine=machine))


def test_a_machine_without_gpu_shows_the_gpu_option() -> None:
    cpu = MachineSnapshot("cpu")
    case = replace(make_case(QWEN, "0.20.0", cpu), request=Request("check", QWEN.id, level=2))
    finding = find(case, "MOE101")
    assert finding.remediation is not None
    assert finding.remediation.commands == ("moe-doctor check Qwen/Qwen3-30B-A3B --gpu h100",)


def test_a_real_gpu_without_the_engine_says_whose_packages_count() -> None:
    here = MachineSnapshot(
        "cuda",
        (Gpu("NVIDIA H100 80GB HBM3", (9, 0)),),
        packages={"flashinfer-python": Absent(), "vllm": Absent()},
    )
    case = replace(
        make_case(QWEN, "0.20.0", here),
        request=Request("check", QWEN.id, machine=MachineRequest()),
    )
    assert "flashinfer-python not installed" in find(case, "MOE201").message


def test_findings_come_worst_first() -> None:
    deployment = Deployment(tensor_parallel_size=8, expert_parallel=True)
    ranks = [
        finding.severity.rank
        for finding in judge(make_case(release="0.19.1", deployment=deployment))
    ]
    assert ranks == sorted(ranks)
