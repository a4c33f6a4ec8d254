"""The report's facts in short phrases, the same in every format."""

from __future__ import annotations

import math
from collections.abc import Sequence

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Severity
from moe_doctor.core.machine import MachineSnapshot, Present, Probe, ProbeFailed
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.report import Engine, Report
from moe_doctor.core.schemes import FORMS
from moe_doctor.core.selection import EngineError, Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers, QuantSpec
from moe_doctor.core.units import count, format_bytes
from moe_doctor.render.escape import one_line

_ENGINES = {"vllm": "vLLM", "sglang": "SGLang", "tensorrt_llm": "TensorRT-LLM"}
_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}
_GATED = {"silu": "SwiGLU", "gelu": "GeGLU", "gelu_tanh": "GeGLU (tanh)", "swigluoai": "SwiGLU-OAI"}
_PLAIN = {"silu": "SiLU", "gelu": "GELU", "relu2": "ReLU2", "relu": "ReLU"}
_SOURCES = {
    "directory": "a local directory",
    "cache": "the Hugging Face cache",
    "hub": "the Hugging Face hub",
    "catalogue": "the bundled catalogue",
}


def model_title(model: ModelSpec) -> str:
    """The last part of the id: `NVIDIA-Nemotron-3-Nano-30B-A3B-BF16`."""
    parts = [part for part in model.id.replace("\\", "/").split("/") if part]
    if len(parts) > 1 and parts[-1] == "config.json":
        parts.pop()
    return one_line(parts[-1] if parts else model.id)


def layers_phrase(layers: MoELayers, dtype: str) -> str:
    """`23 MoE layers, 128 experts, top 6, hidden 2688, expert 1856, ReLU2 (not gated), bf16`."""
    spec = layers.spec
    shared = f" + {spec.num_shared_experts} shared" if spec.num_shared_experts else ""
    if spec.gated:
        activation = _GATED.get(spec.activation, f"{spec.activation} (gated)")
    else:
        activation = f"{_PLAIN.get(spec.activation, spec.activation)} (not gated)"
    return one_line(
        f"{count(layers.count, 'MoE layer')}, {spec.num_experts} experts{shared}, "
        f"top {spec.top_k}, hidden {spec.hidden_size}, expert {spec.intermediate_size}, "
        f"{activation}, {_quantization(spec.quantization, dtype)}"
    )


def layers_label(layers: MoELayers) -> str:
    """`layers 3-60`, `layer 7`, or `layers 1, 3, 5, ... (23)`."""
    numbers = layers.layers
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"layers {numbers[0]}-{numbers[-1]}"
    if len(numbers) <= 4:
        return f"layers {', '.join(map(str, numbers))}"
    return f"layers {', '.join(map(str, numbers[:3]))}, ... ({len(numbers)})"


def source_phrase(model: ModelSpec) -> str:
    """`config from the bundled catalogue`."""
    where = _SOURCES.get(model.source, model.source)
    revision = f" at {model.revision[:12]}" if model.revision else ""
    return one_line(f"config from {where}{revision}")


def machine_title(machine: MachineSnapshot) -> str:
    """`NVIDIA H100 80GB HBM3 (sm_90)`, `8 x ...`, or `CPU (x86_64)`."""
    gpu = machine.gpu
    if gpu is None:
        kind = "CPU" if machine.platform == "cpu" else machine.platform
        return one_line(f"{kind} ({machine.cpu_arch})")
    number = f"{len(machine.gpus)} x " if len(machine.gpus) > 1 else ""
    return one_line(f"{number}{gpu.name}" + (f" ({gpu.target})" if gpu.target else ""))


def machine_facts(machine: MachineSnapshot) -> str:
    """`driver 580.159.04, CUDA 13.0, torch 2.11.0, flashinfer 0.6.8.post1`."""
    facts = ["simulated"] if machine.simulated else []
    if isinstance(machine.driver, Present):
        facts.append(f"driver {machine.driver.value}")
    if isinstance(machine.cuda, Present):
        facts.append(f"CUDA {machine.cuda.value}")
    for package, name in (
        ("torch", "torch"),
        ("triton", "triton"),
        ("flashinfer-python", "flashinfer"),
        ("vllm", "vllm"),
    ):
        version = machine.version(package)
        if version is not None:
            facts.append(f"{name} {version}".strip())
    if machine.simulated and len(facts) > 1:
        facts[:2] = [f"simulated with {facts[1]}"]
    return one_line(", ".join(facts)) or "no engine packages found"


def engine_name(engine: Engine | None) -> str:
    """`vLLM 0.20.0`, or `the engine`."""
    if engine is None:
        return "the engine"
    return one_line(f"{_ENGINES.get(engine.name, engine.name)} {engine.version}")


def engine_title(engine: Engine) -> str:
    """`vLLM 0.20.0 (tables)`."""
    return f"{engine_name(engine)} ({'tables' if engine.source == 'table' else engine.source})"


def deployment_facts(deployment: Deployment) -> str:
    """`TP 1, DP 1, no expert parallelism`, then whatever is not the default."""
    facts = [f"TP {deployment.tensor_parallel_size}", f"DP {deployment.data_parallel_size}"]
    if deployment.prefill_context_parallel_size > 1:
        facts.append(f"PCP {deployment.prefill_context_parallel_size}")
    if deployment.pipeline_parallel_size > 1:
        facts.append(f"PP {deployment.pipeline_parallel_size}")
    facts.append("expert parallelism" if deployment.expert_parallel else "no expert parallelism")
    if deployment.enable_eplb:
        twice = deployment.num_redundant_experts
        facts.append(f"EPLB, {twice} redundant experts" if twice else "EPLB")
    if deployment.enable_dbo:
        facts.append("DBO")
    for flag, value, default in (
        ("--all2all-backend", deployment.all2all_backend, None),
        ("--moe-backend", deployment.moe_backend, "auto"),
        ("--quantization", deployment.quantization, None),
        ("--dtype", deployment.dtype, "auto"),
        ("--mm-encoder-tp-mode", deployment.mm_encoder_tp_mode, "weights"),
        ("--max-num-batched-tokens", deployment.max_num_batched_tokens, None),
        ("--max-lora-rank", deployment.max_lora_rank, None),
    ):
        if value != default:
            facts.append(f"{flag} {value}")
    return one_line(", ".join(facts))


def lora_label(lora: bool) -> str:
    """`LoRA on` or `LoRA off`."""
    return "LoRA on" if lora else "LoRA off"


def selection_label(report: Report, selection: Selection) -> str:
    """Which row of the answer this is, beside LoRA: the layers, the scheme, or nothing."""
    model = report.model
    if model is None:
        oracle = selection.oracle or ""
        return one_line(f"{oracle} ({FORMS[oracle]})" if oracle in FORMS else oracle)
    if len(model.moe_layers) > 1 and selection.moe_layers < len(model.moe_layers):
        return layers_label(model.moe_layers[selection.moe_layers])
    return ""


def backend_phrase(selection: Selection) -> str:
    """The engine's name of the backend, `refused`, or `not judged`."""
    match selection.outcome:
        case Outcome.SELECTED:
            return one_line(selection.backend or "unnamed")
        case Outcome.ERROR:
            return "refused"
        case Outcome.NOT_APPLICABLE:
            return "not judged"


def kernel_phrase(selection: Selection) -> str:
    """The experts class that runs, or empty; the oracle of some releases names none itself."""
    return one_line(selection.kernel or selection.runs or "")


def error_phrase(error: EngineError) -> str:
    """`ValueError: message`."""
    return one_line(error.text)


def find_proof(report: Report, selection: Selection) -> Proof | None:
    """The proof of what a selection chose, or None when there is none."""
    for proof in report.proofs:
        if (
            proof.backend_option == selection.backend_option
            and proof.lora == selection.lora
            and proof.moe_layers == selection.moe_layers
        ):
            return proof
    return None


def proof_result(proof: Proof) -> str:
    """`passed`, `timed out`, ..."""
    return proof.outcome.value.replace("_", " ")


def proof_numbers(proof: Proof) -> str:
    """`worst error 4.4e-3 (limit 1.2e-2), 14 cases`; empty when nothing finished."""
    idle = (ProofOutcome.SKIPPED, ProofOutcome.NOT_RUN)
    ran = [case for case in proof.cases if case.ended not in idle]
    if not ran:
        return ""
    errors = [case.relative_error for case in ran if case.relative_error is not None]
    limit = max(case.tolerance for case in ran)
    # NaN compares with nothing, so max() alone would hide it.
    worst = next((error for error in errors if not math.isfinite(error)), max(errors, default=None))
    error = "no output" if worst is None else f"worst error {number(worst)} (limit {number(limit)})"
    return f"{error}, {count(len(ran), 'case')}"


def number(value: float) -> str:
    """`0.0044` -> `4.4e-3`; what is not finite as `NaN` or `inf`."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def proof_place(proof: Proof) -> str:
    """`on NVIDIA H100`, `in Triton's interpreter on x86_64`, or `on x86_64`."""
    if proof.mode == "interpreter":
        return one_line(f"in Triton's interpreter on {proof.device}")
    return one_line(f"on {proof.device}")


def proof_heading(proofs: Sequence[Proof]) -> str:
    """What a proof column proves: this GPU, or the code alone; empty when they differ."""
    modes = {proof.mode for proof in proofs if proof.outcome is not ProofOutcome.SKIPPED}
    if modes == {"gpu"}:
        return "on this GPU"
    if modes == {"interpreter"}:
        return "in Triton's interpreter"
    return ""


def verdict_phrase(report: Report) -> str:
    """`usable, with 1 warning`: what the exit code says, in words."""
    errors, warnings = (
        sum(finding.severity is severity for finding in report.findings)
        for severity in (Severity.ERROR, Severity.WARNING)
    )
    counted = [count(errors, "error")] if errors else []
    counted += [count(warnings, "warning")] if warnings else []
    tail = f" with {' and '.join(counted)}" if counted else ""
    match report.verdict:
        case "fail":
            return f"not usable as asked:{tail.removeprefix(' with')}"
        case "inconclusive":
            return f"inconclusive: {one_line(report.inconclusive)}" + (f";{tail}" if tail else "")
    if not report.selections:
        return f"ok{_proved(report)}" + (f",{tail}" if tail else "")
    if all(each.outcome is Outcome.NOT_APPLICABLE for each in report.selections):
        return "not judged: these tables do not answer for this model" + (
            f";{tail}" if tail else ""
        )
    proved = any(
        proof.outcome is ProofOutcome.PASSED and proof.mode == "gpu" for proof in report.proofs
    )
    usable = "usable" if proved else "usable by the engine's rules; not proved on a GPU"
    return usable + (f",{tail}" if tail else "")


def _proved(report: Report) -> str:
    """`: 2 of 6 proofs passed, none on a GPU`; empty where nothing was to be proved."""
    passed = [proof for proof in report.proofs if proof.outcome is ProofOutcome.PASSED]
    if not report.proofs:
        return ""
    place = "" if any(proof.mode == "gpu" for proof in passed) else ", none on a GPU"
    return f": {len(passed)} of {count(len(report.proofs), 'proof')} passed{place}"


def probe_phrase(probe: Probe) -> str:
    """A version, `absent`, or `failed: why`."""
    match probe:
        case Present(value):
            return one_line(value) or "present"
        case ProbeFailed(reason):
            return one_line(f"failed: {reason}")
    return "absent"


def memory_phrase(size: int | None) -> str:
    """`80.0 GiB`, or empty."""
    return "" if size is None else format_bytes(size)


def _quantization(quantization: QuantSpec | None, dtype: str) -> str:
    if quantization is None:
        return _DTYPES.get(dtype, dtype)
    return f"{quantization.method} {quantization.algorithm or ''}".strip()
