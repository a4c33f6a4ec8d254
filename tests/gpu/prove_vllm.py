"""Prove vLLM's own kernels, through its own oracle and conversion, on the GPU of this machine.

    python tests/gpu/prove_vllm.py --output vllm.json [--only NAME ...]

A plain script: with an importable vLLM its own classes run, without one FlashInfer and our kernels.
The table comes last and says whose kernel ran. Exit code 0 when every proof passed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.spec import MoESpec, RoutingSpec
from moe_doctor.proof.prove import prove
from tests.gpu.run_proofs import this_machine

QWEN3 = (MoESpec(128, 8, 2048, 768), 768)
MIXTRAL = (MoESpec(8, 2, 4096, 14336), 14336)
GROUPED = RoutingSpec("sigmoid", True, 8, 4, True, 2.5)
DEEPSEEK = (MoESpec(256, 8, 7168, 2048, routing=GROUPED), 256)
GPT_OSS = (
    MoESpec(32, 4, 2880, 2880, activation="swigluoai", has_bias=True, swiglu_limit=7.0),
    2880,
)
NANO = (MoESpec(128, 6, 2688, 1856, activation="relu2", gated=False), 1856)

BLOCK = QuantQuery("kFp8Static128BlockSym", "kFp8Dynamic128Sym")
TENSOR = QuantQuery("kFp8StaticTensorSym", "kFp8StaticTensorSym")
MXFP4 = QuantQuery("kMxfp4Static")
INT8 = QuantQuery("kInt8StaticChannelSym", "kInt8DynamicTokenSym")
INT8_WEIGHTS = QuantQuery("kInt8StaticChannelSym")
INT4 = QuantQuery("kInt4Static", group_size=128)
INT4_ZEROS = QuantQuery("kInt4StaticAsym", group_size=64, symmetric=False)
NVFP4 = QuantQuery("kNvfp4Static", "kNvfp4Dynamic")
CHANNEL = QuantQuery("kFp8StaticChannelSym", "kFp8DynamicTokenSym", allow_vllm_cutlass=True)

# name: (spec, width), quantization, options; +lora with adapters
RUNS = {
    "Mixtral-8x7B bf16": (MIXTRAL, None, ("triton", "flashinfer_cutlass")),
    "Mixtral-8x7B fp8 block": (MIXTRAL, BLOCK, ("triton", "triton+lora", "flashinfer_cutlass")),
    "DeepSeek-V3 TP8 bf16": (DEEPSEEK, None, ("triton", "flashinfer_cutlass")),
    "DeepSeek-V3 TP8 fp8 block": (DEEPSEEK, BLOCK, ("triton", "flashinfer_cutlass")),
    "Qwen3-30B bf16": (
        QWEN3,
        None,
        ("triton", "triton+lora", "flashinfer_cutlass", "batched_triton"),
    ),
    "Qwen3-30B fp8 block": (QWEN3, BLOCK, ("triton", "flashinfer_cutlass")),
    "Qwen3-30B int8": (QWEN3, INT8, ("triton", "triton+lora")),
    "Qwen3-30B int8 weights": (QWEN3, INT8_WEIGHTS, ("triton", "triton+lora")),
    "Qwen3-30B int4": (QWEN3, INT4, ("triton", "marlin")),
    "Qwen3-30B int4 zeros": (QWEN3, INT4_ZEROS, ("triton",)),
    "Qwen3-30B fp8 tensor": (QWEN3, TENSOR, ("triton", "flashinfer_cutlass")),
    "Qwen3-30B fp8 channel": (QWEN3, CHANNEL, ("triton", "cutlass")),
    "Nemotron-3-Nano bf16": (NANO, None, ("triton", "triton+lora", "flashinfer_cutlass")),
    "Qwen3-30B nvfp4": (QWEN3, NVFP4, ("triton", "triton+lora", "emulation")),
    "gpt-oss-20b mxfp4": (GPT_OSS, MXFP4, ("triton", "triton+lora", "flashinfer_cutlass")),
}


def main() -> int:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("vllm.json"))
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=130.0)
    parser.add_argument("--jobs", type=int, default=10, help="proofs that run at the same time")
    parser.add_argument("--only", nargs="*", default=(), help="regular expressions, all in a name")
    options = parser.parse_args()
    machine = this_machine()
    started = time.monotonic()

    def run(job: tuple[str, str]) -> tuple[str, Proof]:
        name, asked = job
        option, _, adapters = asked.partition("+")
        (spec, width), quant, _ = RUNS[name]
        before = time.monotonic()
        (proof,) = prove(
            spec,
            backend_option=option,
            lora=bool(adapters),
            intermediate_size_per_partition=width,
            num_local_experts=spec.num_experts,
            machine=machine,
            dtype="bfloat16",
            level=options.level,
            timeout_s=options.timeout,
            quant=quant,
        )
        print(f"{name} {asked} {time.monotonic() - before:.1f} s", flush=True)
        return name, proof

    chosen = [
        (name, option)
        for name, (_, _, backends) in RUNS.items()
        for option in backends
        if all(re.search(word, f"{name} {option}") for word in options.only)
    ]
    with ThreadPoolExecutor(options.jobs) as pool:
        found = list(pool.map(run, chosen))
    report = [{"name": name, **proof.to_dict()} for name, proof in found]
    options.output.write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(f"\n{machine.gpu.name if machine.gpu else 'no GPU'}, {time.monotonic() - started:.1f} s")
    bad = sum(not show(name, proof) for name, proof in found)
    print("ok" if not bad else f"{bad} not as they should be")
    return 1 if bad else 0


def show(name: str, proof: Proof) -> bool:
    """One line; whether it passed."""
    worst = "-" if proof.worst_error is None else f"{proof.worst_error:.1e}"
    limit = f"{proof.cases[0].tolerance:.1e}" if proof.cases else "-"
    ran = proof.implementation.replace("vllm.model_executor.layers.", "")
    print(
        f"{name:26} {proof.backend_option:18} {'LoRA' if proof.lora else '-':5}"
        f"{proof.outcome.value:9} worst {worst:8} limit {limit:8} "
        f"{len(proof.cases):2} cases  {ran}  {proof.reason[:400]}"
    )
    return proof.outcome is ProofOutcome.PASSED


if __name__ == "__main__":
    raise SystemExit(main())
