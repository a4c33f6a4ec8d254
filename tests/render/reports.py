"""Literal reports of every shape, shared by the tests of the formats and of the schema."""

from __future__ import annotations

from dataclasses import replace

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Finding, Remediation, Severity
from moe_doctor.core.machine import (
    Absent,
    Gpu,
    MachineSnapshot,
    Present,
    ProbeFailed,
    Toolkit,
)
from moe_doctor.core.proof import CaseResult, Proof, ProofOutcome
from moe_doctor.core.report import Engine, Report
from moe_doctor.core.selection import Candidate, EngineError, Outcome, Selection
from moe_doctor.core.spec import ModelSpec, MoELayers, MoESpec, QuantSpec, RoutingSpec

NANO_SPEC = MoESpec(
    num_experts=128,
    top_k=6,
    hidden_size=2688,
    intermediate_size=1856,
    activation="relu2",
    gated=False,
    num_shared_experts=1,
    routing=RoutingSpec(scoring="sigmoid", has_correction_bias=True, scaling_factor=2.5),
)
NANO = ModelSpec(
    id="nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    source="catalogue",
    architecture="NemotronHForCausalLM",
    model_type="nemotron_h",
    moe_layers=(MoELayers(NANO_SPEC, tuple(range(1, 47, 2))),),
    num_layers=52,
)
H100 = MachineSnapshot(
    platform="cuda",
    gpus=(Gpu("NVIDIA H100 80GB HBM3", (9, 0), memory_bytes=85899345920),),
    driver=Present("580.159.04"),
    cuda=Present("13.0"),
    packages={
        "torch": Present("2.11.0"),
        "flashinfer-python": Present("0.6.8.post1"),
        "triton": ProbeFailed("METADATA is not readable"),
        "aiter": Absent(),
        "deep-gemm": Absent(),
    },
    toolkit=Toolkit(nvcc=Present("13.0.88"), nvcc_path="/usr/local/cuda/bin/nvcc"),
    environment={"VLLM_USE_FLASHINFER_MOE_FP16": "1"},
    python="3.12.3",
    os="Linux 6.8.0",
    memory_bytes=1 << 40,
)
CPU = MachineSnapshot(platform="cpu", packages={"torch": Present("2.13.0+cpu")})
VLLM_0_20 = Engine("vllm", "0.20.0")

CUTLASS = Selection(
    moe_layers=0,
    lora=False,
    oracle="unquantized",
    outcome=Outcome.SELECTED,
    backend="FlashInfer CUTLASS",
    backend_option="flashinfer_cutlass",
    kernel="FlashInferExperts",
    engine_log="Using FlashInfer CUTLASS backend",
    trace=(
        Candidate(
            "FlashInfer TRTLLM",
            "TrtLlmBf16Experts",
            False,
            "needs compute capability 10.x; this GPU is 9.0",
        ),
        Candidate("FlashInfer CUTLASS", "FlashInferExperts", True, "first that fits"),
        Candidate("TRITON", "TritonExperts", True, "", asked=False),
    ),
)
TRITON_LORA = Selection(
    moe_layers=0,
    lora=True,
    oracle="unquantized",
    outcome=Outcome.SELECTED,
    backend="TRITON",
    backend_option="triton",
    kernel="TritonExperts",
    engine_log="Using TRITON backend",
    note="vLLM 0.20 returns here before it looks at any other backend or at --moe-backend",
    trace=(
        Candidate("TRITON", "TritonExperts", True, ""),
        Candidate("FlashInfer TRTLLM", None, False, "needs sm_100", asked=False),
        Candidate("FlashInfer CUTLASS", None, False, "no LoRA", asked=False),
        Candidate("BATCHED_TRITON", "BatchedTritonExperts", False, "", asked=False),
    ),
)
CASES = (
    CaseResult("one-token", 1, 3.1e-3, 1.2e-2, 412.5, True),
    CaseResult("all-tokens-one-expert", 64, 4.4e-3, 1.2e-2, 0.4, True),
)
PROVED = (
    Proof(
        "flashinfer_cutlass",
        "flashinfer.fused_moe.cutlass_fused_moe",
        False,
        "NVIDIA H100 80GB HBM3",
        "gpu",
        ProofOutcome.PASSED,
        cases=CASES,
        geometry={"num_experts": 128, "top_k": 6},
    ),
    Proof(
        "triton",
        "moe_doctor.kernels.fused_moe",
        True,
        "NVIDIA H100 80GB HBM3",
        "gpu",
        ProofOutcome.PASSED,
        cases=CASES,
        geometry={"num_experts": 16, "top_k": 6},
    ),
)
CHANGES = Finding(
    "MOE412",
    "lora-changes-backend",
    Severity.WARNING,
    "LoRA moves 23 layers from FlashInfer CUTLASS to TRITON",
    Remediation("Measure both before you serve adapters.", ("moe-doctor select M --lora",)),
    evidence={"layers": 23, "from": "FlashInfer CUTLASS"},
    links=("https://github.com/vllm-project/vllm/pull/40273",),
)
UNTUNED = Finding(
    "MOE803",
    "no-tuned-config",
    Severity.INFO,
    "vLLM will use its default tile: no E=128,N=1856,device_name=NVIDIA_H100_80GB_HBM3.json",
    status="preview",
)

CHECK = Report(
    command="check",
    machine=H100,
    engine=VLLM_0_20,
    model=NANO,
    selections=(CUTLASS, TRITON_LORA),
    proofs=PROVED,
    findings=(CHANGES, UNTUNED),
    elapsed_s=3.81,
)

DIES = Finding(
    "MOE501",
    "lora-server-dies",
    Severity.ERROR,
    "vLLM 0.19.1 picks FlashInfer CUTLASS and its LoRA layer only takes TritonExperts",
    Remediation(
        "Unset the variable, or upgrade.",
        ("unset VLLM_USE_FLASHINFER_MOE_FP16", "pip install 'vllm>=0.20.0'"),
    ),
)
CRASH = Report(
    command="select",
    machine=H100,
    engine=Engine("vllm", "0.19.1"),
    model=NANO,
    deployment=Deployment(
        tensor_parallel_size=2,
        data_parallel_size=4,
        expert_parallel=True,
        all2all_backend="deepep_low_latency",
        moe_backend="flashinfer_cutlass",
        enable_eplb=True,
        max_num_batched_tokens=8192,
    ),
    selections=(
        replace(
            CUTLASS,
            lora=True,
            crash=EngineError(
                "AssertionError",
                "isinstance(m_fused_moe_fn.impl.fused_experts, TritonExperts)",
            ),
        ),
    ),
    findings=(DIES,),
    elapsed_s=0.2,
)

REFUSED = Report(
    command="select",
    machine=replace(H100, simulated=True),
    engine=Engine("vllm", "0.33.0", "installed"),
    model=NANO,
    selections=(
        Selection(
            moe_layers=0,
            lora=False,
            oracle="unquantized",
            outcome=Outcome.ERROR,
            error=EngineError("ValueError", "MoE backend 'aiter' is not\nsupported"),
            trace=(Candidate("AITER", None, False, "needs ROCm; this platform is cuda"),),
        ),
    ),
    findings=(DIES,),
)

DENSE_FIRST = (
    MoELayers(
        MoESpec(256, 8, 7168, 2048, quantization=QuantSpec("fp8", details={"bits": 8})),
        tuple(range(3, 61)),
    ),
    MoELayers(MoESpec(256, 8, 7168, 2048), (61,)),
)
MIXED = Report(
    command="check",
    machine=CPU,
    engine=Engine("vllm", "0.33.0"),
    model=ModelSpec(
        id="models/deepseek/config.json",
        source="directory",
        architecture="DeepseekV3ForCausalLM",
        model_type="deepseek_v3",
        moe_layers=DENSE_FIRST,
        revision="0123456789abcdef",
    ),
    selections=(
        Selection(0, False, None, Outcome.NOT_APPLICABLE, note="fp8 is not in these tables"),
        Selection(0, True, None, Outcome.NOT_APPLICABLE, note="fp8 is not in these tables"),
        replace(CUTLASS, moe_layers=1),
        replace(TRITON_LORA, moe_layers=1),
    ),
    proofs=(
        Proof(
            "flashinfer_cutlass",
            "flashinfer.fused_moe.cutlass_fused_moe",
            False,
            "x86_64",
            "cpu",
            ProofOutcome.SKIPPED,
            "needs a CUDA GPU; this machine has none",
            moe_layers=1,
        ),
        Proof(
            "triton",
            "moe_doctor.kernels.fused_moe",
            True,
            "x86_64",
            "interpreter",
            ProofOutcome.PASSED,
            "this proves the code, not a GPU",
            cases=CASES,
            geometry={"num_experts": 8},
            moe_layers=1,
        ),
    ),
    findings=(UNTUNED,),
    inconclusive="no proof passed on a real GPU",
    elapsed_s=12.0,
)

BAD_PROOFS = Report(
    command="prove",
    machine=H100,
    proofs=tuple(
        Proof(
            "triton",
            "moe_doctor.kernels.fused_moe",
            False,
            "NVIDIA H100 80GB HBM3",
            "gpu",
            outcome,
            reason,
            cases=cases,
        )
        for outcome, reason, cases in (
            (
                ProofOutcome.FAILED,
                "wrong numbers",
                (
                    CaseResult("one-token", 1, float("nan"), 1.2e-2, 1.0, False),
                    CaseResult("empty-expert", 7, 0.5, 1.2e-2, 1.0, False),
                    CaseResult("raises", 9, None, 1.2e-2, 1.0, False),
                ),
            ),
            (ProofOutcome.CRASHED, "the child died of SIGSEGV", ()),
            (ProofOutcome.TIMED_OUT, "no answer in 120 s", ()),
            (ProofOutcome.NOT_RUN, "", ()),
        )
    ),
    findings=(DIES,),
)

SCHEMES = Report(
    command="select",
    machine=H100,
    engine=VLLM_0_20,
    selections=(
        replace(CUTLASS, kernel=None, runs="FlashInferExperts"),
        replace(TRITON_LORA, hazard="the batched dispatch hands it a format that it cannot take"),
        Selection(1, False, "fp8", Outcome.NOT_APPLICABLE, note="not in these tables"),
    ),
)

ENV = Report(command="env", machine=replace(H100, notes=("nvidia-smi is newer than NVML",)))

EVIL = "\x1b[31mred\x1b[0m [bold]x[/bold] a|b `c` ]]> <b>&\u202e\ud800\x00 %0A::error::x\r\nnext,"
HOSTILE = Report(
    command="check",
    machine=replace(H100, gpus=(Gpu(EVIL, (9, 0)),), environment={"VLLM_X": EVIL}),
    engine=VLLM_0_20,
    model=replace(NANO, id="::error::" + EVIL),
    selections=(
        replace(
            CUTLASS,
            backend=EVIL,
            kernel=EVIL,
            trace=(Candidate(EVIL, EVIL, True, EVIL),),
            crash=EngineError(EVIL, EVIL),
            note=EVIL,
        ),
    ),
    proofs=(replace(PROVED[0], reason=EVIL, implementation=EVIL, device=EVIL),),
    findings=(Finding("MOE101", EVIL, Severity.ERROR, EVIL, Remediation(EVIL, (EVIL,))),),
    inconclusive=EVIL,
)

REPORTS = {
    "check": CHECK,
    "crash": CRASH,
    "refused": REFUSED,
    "mixed": MIXED,
    "bad-proofs": BAD_PROOFS,
    "schemes": SCHEMES,
    "env": ENV,
    "hostile": HOSTILE,
}
"""Every literal report by name."""
