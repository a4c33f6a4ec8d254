"""Run the proofs of well-known models on the GPU of this machine, then time and sabotage them.

    python tests/gpu/run_proofs.py --output proofs.json

A plain script: it needs the repository and, for FlashInfer, flashinfer-python with its compiled
module on PYTHONPATH. Then every scheme of quantization on a small layer of awkward sizes, and
errors planted in each. The table comes last; the JSON holds every case. Exit code 0 when every
proof passed or was skipped with a reason, and every planted error was caught.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from moe_doctor.core.machine import Absent, Gpu, MachineSnapshot, Present, Probe
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.spec import MoESpec, RoutingSpec
from moe_doctor.proof.prove import prove

GROUPED = RoutingSpec("sigmoid", True, 8, 4, True, 2.5)
NANO = RoutingSpec("sigmoid", True, 1, 1, True, 2.5)
QWEN = MoESpec(128, 8, 2048, 768)
GPT_OSS = MoESpec(32, 4, 2880, 2880, activation="swigluoai", has_bias=True)
# name: spec, intermediate_size_per_partition, how the engine asks about its weights
MODELS: dict[str, tuple[MoESpec, int, QuantQuery | None]] = {
    "Nemotron-3-Nano-30B-A3B": (
        MoESpec(128, 6, 2688, 1856, activation="relu2", gated=False, routing=NANO),
        1856,
        None,
    ),
    "Qwen3-30B-A3B": (QWEN, 768, None),
    "Mixtral-8x7B": (MoESpec(8, 2, 4096, 14336), 14336, None),
    "Qwen3-30B-A3B int4": (QWEN, 768, QuantQuery("kInt4Static", group_size=128)),
    "Qwen3-30B-A3B int8": (
        QWEN,
        768,
        QuantQuery("kInt8StaticChannelSym", "kInt8DynamicTokenSym"),
    ),
    "Mixtral-8x7B fp8": (
        MoESpec(8, 2, 4096, 14336),
        14336,
        QuantQuery("kFp8StaticTensorSym", "kFp8StaticTensorSym"),
    ),
    "DeepSeek-V3 TP8 fp8": (
        MoESpec(256, 8, 7168, 2048, routing=GROUPED),
        256,
        QuantQuery("kFp8Static128BlockSym", "kFp8Dynamic128Sym"),
    ),
    "gpt-oss-20b mxfp4": (GPT_OSS, 2880, QuantQuery("kMxfp4Static")),
}
SCHEMES = (
    "fp8_tensor_static",
    "fp8_tensor",
    "fp8_tensor_token",
    "fp8_channel",
    "fp8_block_128x128",
    "fp8_block_64x64",
    "fp8_block_32x32",
    "int8_channel",
    "int8_weight_channel",
    "int8_weight_g128",
    "int4_channel",
    "int4_g32",
    "int4_g64",
    "int4_g128_zeros",
    "mxfp4",
    "nvfp4",
    "none",
)
"""Every kind, for `every_scheme`; `none` goes with biases and a clamp there."""
SCHEME_TOKENS = (5, 40, 700)
RUNS = (("triton", (False, True)), ("flashinfer_cutlass", (False, True)))
TIMED_TOKENS = (1, 16, 64, 256, 2048)


def main() -> int:
    """Parse, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("proofs.json"))
    parser.add_argument("--level", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=200.0)
    parser.add_argument("--jobs", type=int, default=6, help="models proved at the same time")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--no-bench", action="store_true")
    options = parser.parse_args()
    machine = this_machine()
    print(machine.gpu, {name: machine.version(name) for name in machine.packages}, flush=True)
    started = time.monotonic()

    def prove_model(name: str) -> list[Proof]:
        spec, width, quant = MODELS[name]
        proofs: list[Proof] = []
        for backend, lora in RUNS:
            before = time.monotonic()
            found = prove(
                spec,
                backend_option=backend,
                lora=lora,
                intermediate_size_per_partition=width,
                num_local_experts=spec.num_experts,
                machine=machine,
                dtype=options.dtype,
                level=options.level,
                timeout_s=options.timeout,
                quant=quant,
            )
            print(f"{name} {backend} {time.monotonic() - before:.1f} s", flush=True)
            proofs += found
        return proofs

    spawn = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(options.jobs) as pool,
        ProcessPoolExecutor(4, mp_context=spawn) as scheme_pool,
    ):
        schemes = {name: scheme_pool.submit(run_scheme, name, options.dtype) for name in SCHEMES}
        by_model = dict(zip(MODELS, pool.map(prove_model, MODELS), strict=True))
        by_scheme = {name: future.result() for name, future in schemes.items()}
    prove_s = time.monotonic() - started
    report: dict[str, Any] = {
        "machine": machine.to_dict(),
        "seconds": prove_s,
        "proofs": {name: [proof.to_dict() for proof in found] for name, found in by_model.items()},
        "schemes": by_scheme,
    }
    options.output.write_text(json.dumps(report, indent=1), encoding="utf-8")
    planted = planted_errors()
    report["planted"] = planted
    options.output.write_text(json.dumps(report, indent=1), encoding="utf-8")
    if not options.no_bench:
        report["times_us"] = bench()
        options.output.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return print_table(by_model, report)


def this_machine() -> MachineSnapshot:
    """This machine as the proof needs it, read through NVML and package metadata."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    name = pynvml.nvmlDeviceGetName(handle)
    packages: dict[str, Probe] = {}
    for package in ("torch", "triton", "flashinfer-python", "apache-tvm-ffi", "numpy"):
        try:
            packages[package] = Present(metadata.version(package))
        except metadata.PackageNotFoundError:
            packages[package] = Absent()
    gpu = Gpu(
        name=name if isinstance(name, str) else name.decode(),
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
    )
    driver = pynvml.nvmlSystemGetDriverVersion()
    return MachineSnapshot(
        platform="cuda", gpus=(gpu,), driver=Present(str(driver)), packages=packages
    )


def planted_errors() -> dict[str, dict[str, Any]]:
    """Break the kernel's inputs on purpose and see that the comparison notices."""
    from tests.proof.planted import SCHEMES as PLANTED_SCHEMES
    from tests.proof.planted import planted_comparison, planted_names

    return {
        f"{scheme}: {name}": {
            "caught": not (
                found := planted_comparison(name, "cuda", "bfloat16", scheme=scheme)
            ).passed,
            "relative_error": found.relative_error,
            "row_error": found.row_error,
            "detail": found.detail,
        }
        for scheme in ("none", *PLANTED_SCHEMES)
        for name in planted_names(scheme)
    }


def run_scheme(name: str, dtype: str) -> list[dict[str, Any]]:
    """Our kernel in one scheme, in a process of its own, on widths that no block divides."""
    import torch

    from moe_doctor.kernels.fused_moe import fused_moe
    from moe_doctor.kernels.reference import fused_moe_reference
    from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase
    from moe_doctor.proof.compare import compare
    from moe_doctor.proof.inputs import make_batch, make_weights

    torch.backends.cuda.matmul.allow_tf32 = False
    plain = name == "none"
    geometry = Geometry(
        *(12, 12, 3, 3, 672, 352, 352, "silu", True, dtype, dtype),
        scheme=name,
        has_bias=plain,
        limit=0.8 if plain else None,
    )
    results = []
    for setup in (None, LoRASetup((16, 8), (2.0, 0.5))):
        weights = make_weights(geometry, setup, torch.device("cuda"))
        for tokens in SCHEME_TOKENS if setup is None else SCHEME_TOKENS[-1:]:
            pattern = "none" if setup is None else "mixed"
            case = ProofCase("random", tokens, "random", tokens, pattern, zero_tokens=tokens == 40)
            batch = make_batch(case, weights, RoutingSpec())
            args = (weights.w13, weights.w2, batch.topk_weights, batch.topk_ids)
            how = {**weights.arguments(), "lora": batch.lora}
            try:
                got = fused_moe(batch.hidden_states, *args, **how)
                torch.cuda.synchronize()
            except Exception as error:
                results.append({"tokens": tokens, "lora": setup is not None, "passed": False})
                results[-1]["detail"] = f"{type(error).__name__}: {error}"[:400]
                continue
            wanted = fused_moe_reference(batch.hidden_states, *args, **how)
            found = compare(got, wanted, dtype=dtype, depth=672, scheme=name)
            results.append(
                {
                    "tokens": tokens,
                    "lora": setup is not None,
                    "passed": found.passed,
                    "relative_error": found.relative_error,
                    "row_error": found.row_error,
                    "tolerance": found.tolerance,
                    "detail": found.detail,
                }
            )
    return results


def bench() -> dict[str, dict[str, float]]:
    """Median time of a CUDA-graph replay of our kernel, whole layer, uniform routing."""
    import torch
    import triton

    from moe_doctor.kernels.fused_moe import fused_moe
    from moe_doctor.kernels.reference import fused_moe_reference
    from moe_doctor.proof.case import ProofCase
    from moe_doctor.proof.inputs import make_batch, make_weights
    from moe_doctor.proof.plan import make_plan
    from moe_doctor.proof.schemes import scheme_of

    times: dict[str, dict[str, float]] = {}
    for name, (spec, width, quant) in MODELS.items():
        plan = make_plan(
            spec,
            implementation="",
            mode="gpu",
            intermediate_size_per_partition=width,
            num_local_experts=spec.num_experts,
            dtype="bfloat16",
            lora=False,
            level=3,
            memory_bytes=None,
            scheme=scheme_of(None, quant).scheme or "none",
        )
        weights = make_weights(plan.geometry, None, torch.device("cuda"))
        row: dict[str, float] = {}
        for tokens in TIMED_TOKENS:
            batch = make_batch(ProofCase("random", tokens), weights, plan.routing)
            args = (
                batch.hidden_states,
                weights.w13,
                weights.w2,
                batch.topk_weights,
                batch.topk_ids,
            )
            how = weights.arguments()

            def call(args: Any = args, how: Any = how) -> Any:
                return fused_moe(*args, **how)

            call()
            torch.cuda.synchronize()
            median = triton.testing.do_bench_cudagraph(call, rep=20, return_mode="median")
            row[f"T={tokens}"] = median * 1e3
        begin = time.perf_counter()
        fused_moe_reference(*args, **how)
        torch.cuda.synchronize()
        row["reference"] = (time.perf_counter() - begin) * 1e6
        times[name] = row
        print(name, row, flush=True)
        del weights, batch, args
        torch.cuda.empty_cache()
    return times


def print_table(by_model: dict[str, list[Proof]], report: dict[str, Any]) -> int:
    """One line per proof, then planted errors and times; 1 when anything is not as it should be."""
    bad = 0
    print(f"\nproofs took {report['seconds']:.1f} s")
    for name, proofs in by_model.items():
        for proof in proofs:
            worst = "-" if proof.worst_error is None else f"{proof.worst_error:.1e}"
            limit = f"{proof.cases[0].tolerance:.1e}" if proof.cases else "-"
            bad += proof.outcome not in (ProofOutcome.PASSED, ProofOutcome.SKIPPED)
            print(
                f"{name:24} {proof.backend_option:18} {'LoRA' if proof.lora else '-':5}"
                f"{proof.outcome.value:9} worst {worst:8} limit {limit:8} "
                f"{len(proof.cases):2} cases  {proof.reason[:160]}"
            )
    for name, cases in report["schemes"].items():
        wrong = [case for case in cases if not case["passed"]]
        bad += len(wrong)
        errors = [case["relative_error"] for case in cases if "relative_error" in case]
        limit = max((case["tolerance"] for case in cases if "tolerance" in case), default=0)
        print(
            f"scheme {name:20} {'WRONG' if wrong else 'ok':6} worst {max(errors, default=0):.1e} "
            f"limit {limit:.1e}  {wrong[0]['detail'][:200] if wrong else ''}"
        )
    for name, result in report["planted"].items():
        bad += not result["caught"]
        caught = "caught" if result["caught"] else "MISSED"
        print(f"planted {name:46} {caught}  {result['detail'][:110]}")
    for name, row in report.get("times_us", {}).items():
        print(f"{name:24} " + "  ".join(f"{key} {value:.0f} us" for key, value in row.items()))
    print("ok" if not bad else f"{bad} not as they should be")
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
