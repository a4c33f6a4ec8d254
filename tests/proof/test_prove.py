from __future__ import annotations

import subprocess
import sys

import pytest

from moe_doctor.core.machine import Gpu, MachineSnapshot, Present
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.spec import MoESpec, QuantSpec
from moe_doctor.proof.prove import PROVABLE, prove

SPEC = MoESpec(16, 2, 96, 48, activation="relu2", gated=False)
CPU = MachineSnapshot(
    "cpu", packages={"torch": Present("2"), "triton": Present("3")}, memory_bytes=8 << 30
)


def ask(backend: str, machine: MachineSnapshot = CPU, **changes: object) -> tuple[Proof, ...]:
    arguments: dict[str, object] = {
        "backend_option": backend,
        "lora": (False, True),
        "intermediate_size_per_partition": 48,
        "num_local_experts": 16,
        "machine": machine,
        "dtype": "bfloat16",
        "timeout_s": 100.0,
        **changes,
    }
    spec = arguments.pop("spec", SPEC)
    return prove(spec, **arguments)  # type: ignore[arg-type]


def test_triton_is_proved_in_the_interpreter_with_and_without_lora(torch_is_there: None) -> None:
    steps: list[str] = []
    proofs = ask("triton", moe_layers=1, progress=steps.append)
    assert [(proof.lora, proof.outcome, proof.mode) for proof in proofs] == [
        (False, ProofOutcome.PASSED, "interpreter"),
        (True, ProofOutcome.PASSED, "interpreter"),
    ]
    for proof in proofs:
        assert proof.reason.startswith("this proves the code, not a GPU")
        assert proof.geometry["dtype"] == "float16"
        assert proof.geometry["dtype_model"] == "bfloat16"
        assert proof.worst_error is not None
        assert 0 < proof.worst_error < proof.cases[0].tolerance
        assert proof.moe_layers == 1
        assert {case.name for case in proof.cases} == {
            "all-tokens-one-expert",
            "experts-without-tokens",
        }
    assert "triton with LoRA: case all-tokens-one-expert, 3 tokens" in steps


def test_plain_torch_is_proved_against_the_reference(torch_is_there: None) -> None:
    (proof,) = ask("reference", lora=True)
    assert (proof.outcome, proof.mode) == (ProofOutcome.PASSED, "cpu")
    assert proof.geometry["dtype"] == "bfloat16"


def test_a_quantized_layer_with_biases_is_proved_in_its_own_scheme(torch_is_there: None) -> None:
    spec = MoESpec(
        8,
        2,
        128,
        64,
        activation="swigluoai",
        has_bias=True,
        quantization=QuantSpec("mxfp4"),
    )
    (proof,) = ask("triton", lora=True, spec=spec)
    assert (proof.outcome, proof.geometry["scheme"]) == (ProofOutcome.PASSED, "mxfp4")
    assert (proof.geometry["limit"], proof.geometry["alpha"]) == (7.0, 1.702)
    assert proof.reason.endswith("scheme mxfp4")


def test_without_torch_the_pip_command_is_given() -> None:
    (proof,) = ask("triton", MachineSnapshot("cpu"), lora=False)
    assert proof.outcome is ProofOutcome.SKIPPED
    assert proof.reason == ("torch and triton not installed: pip install 'moe-doctor[kernels]'")


def test_a_backend_without_adapter_is_skipped_with_the_names_that_have_one() -> None:
    (proof,) = ask("humming", lora=False)
    assert proof.outcome is ProofOutcome.SKIPPED
    assert proof.reason == (
        "moe-doctor has no proof for humming; "
        "it has 6 proofs: triton, batched_triton, flashinfer_cutlass, "
        "flashinfer_trtllm, deep_gemm, reference"
    )


@pytest.mark.parametrize("backend", ["marlin", "cutlass", "aiter"])
def test_a_backend_that_only_vllm_has_says_that_vllm_is_missing(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("moe_doctor.proof.adapters.vllm_is_installed", lambda: False)
    (proof,) = ask(backend, lora=False)
    assert proof.reason == (
        f"a proof of {backend} runs vLLM's own kernels; vllm is not installed in this environment"
    )


def test_flashinfer_trtllm_names_both_capabilities() -> None:
    h100 = MachineSnapshot("cuda", gpus=(Gpu("NVIDIA H100", (9, 0)),))
    (proof,) = ask("flashinfer_trtllm", h100, lora=False)
    assert proof.reason == "needs a GPU of compute capability 10.x; this one is 9.0"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            MoESpec(16, 2, 96, 48, quantization=QuantSpec("modelopt", "W4A8")),
            "the experts are stored as modelopt W4A8; proofs have no weights of that format",
        ),
        (
            MoESpec(16, 2, 96, 48, activation="swiglustep"),
            "activation is swiglustep; our Triton kernel has silu, gelu, gelu_tanh, relu, relu2, "
            "swigluoai, swigluoai_uninterleave",
        ),
    ],
)
def test_what_our_kernels_cannot_hold_is_skipped(spec: MoESpec, reason: str) -> None:
    (proof,) = ask("triton", lora=False, spec=spec)
    assert (proof.outcome, proof.reason) == (ProofOutcome.SKIPPED, reason)


def test_a_level_without_proofs_runs_none() -> None:
    (proof,) = ask("triton", lora=False, level=2)
    assert (proof.outcome, proof.reason) == (
        ProofOutcome.NOT_RUN,
        "level 2 runs no proof; --level 3 does",
    )


def test_the_parent_imports_no_torch() -> None:
    script = (
        "import sys, moe_doctor.proof.prove\n"
        "print(sorted({'torch', 'triton', 'flashinfer', 'numpy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_every_provable_name_is_an_option() -> None:
    assert PROVABLE == (
        "triton",
        "batched_triton",
        "flashinfer_cutlass",
        "flashinfer_trtllm",
        "deep_gemm",
        "reference",
    )


def test_the_batched_format_is_proved_with_adapters(torch_is_there: None) -> None:
    (proof,) = ask("batched_triton", lora=True)
    assert (proof.outcome, proof.mode) == (ProofOutcome.PASSED, "interpreter")
    assert proof.implementation == "moe_doctor.kernels.batched"
