"""Recorded answers of real vLLM releases: where they are, and how a record becomes our question."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from moe_doctor.core.machine import Absent, Gpu, MachineSnapshot, Present, Toolkit
from moe_doctor.core.query import MoEQuery, Parallel, QuantQuery
from moe_doctor.oracle.engines.vllm.releases import image_packages
from moe_doctor.probes.gpus import as_gpu, gpu_for_capability

SHARED = Path(__file__).resolve().parents[2] / "shared"
GOLDEN = SHARED / "truth" / "golden"
CONFIGS = SHARED / "configs"

needs_truth = pytest.mark.skipif(
    not GOLDEN.is_dir(), reason="the recorded answers (../shared/truth) are not here"
)


def releases(level: str) -> list[str]:
    """Releases with recorded answers of a level (`model` or `oracle`)."""
    names = (path.name for path in GOLDEN.glob(f"{level}-*.jsonl.gz"))
    found = [name[len(level) + 1 : -len(".jsonl.gz")] for name in names]
    return sorted(found, key=lambda text: [int(part) for part in text.split(".")])


def records(level: str, release: str) -> Iterator[dict[str, Any]]:
    """Every line of a file."""
    with gzip.open(GOLDEN / f"{level}-{release}.jsonl.gz", "rt") as lines:
        for line in lines:
            yield json.loads(line)


def emulated_machine(
    release: str,
    capability: str,
    packages: str,
    environment: dict[str, str] | None = None,
    platform: str = "cuda",
) -> MachineSnapshot:
    """The machine that the recorder emulated: package profile `docker`, `docker_rocm`, `none`."""
    if platform != "cuda":
        return _other_machine(release, capability, packages, environment or {}, platform)
    major, minor = map(int, capability.split("."))
    known = gpu_for_capability((major, minor))
    gpu = as_gpu(known) if known is not None else Gpu("unknown", (major, minor))
    has_image = packages == "docker"
    table = image_packages(release, "cuda") if has_image else {}
    return MachineSnapshot(
        platform="cuda",
        gpus=(gpu,),
        simulated=True,
        packages={name: Present(version) for name, version in table.items()},
        toolkit=Toolkit(
            nvcc=Present("13.0") if has_image else Absent(),
            ninja=Present("1.13") if has_image else Absent(),
        ),
        environment=environment or {},
    )


def _other_machine(
    release: str, capability: str, packages: str, environment: dict[str, str], platform: str
) -> MachineSnapshot:
    """ROCm by architecture, XPU, or the processor that the harness runs on."""
    table = dict(image_packages(release, platform)) if packages != "none" else {}
    if platform == "rocm":
        # The harness's stand-in for aiter has every attribute but no parameters, so that vLLM finds
        # no gate_mode (aiter 0.1.14) in its fused_moe; its profile has quark.
        table |= {"aiter": "0.1.13", "amd-quark": ""}
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text("utf-8").split() if cpuinfo.is_file() else []
    return MachineSnapshot(
        platform=platform,
        gpus=() if platform in ("cpu", "xpu") else (Gpu("AMD", None, capability),),
        simulated=True,
        packages={name: Present(version) for name, version in table.items()},
        environment=environment,
        cpu_features=tuple(flag for flag in ("amx_tile", "amx_fp8") if flag in flags),
    )


def query_of(q: dict[str, Any]) -> MoEQuery:
    """The recorder's random question in our words."""
    flat = q["tp"] * q["dp"] * q.get("pcp", 1)
    use_ep = q["use_ep"] and flat > 1
    parallel = Parallel(
        tp_size=1 if use_ep else flat,
        dp_size=q["dp"],
        pcp_size=q.get("pcp", 1),
        ep_size=flat if use_ep else 1,
        sp_size=q.get("sp_size", 1),
        use_ep=use_ep,
        all2all_backend=q.get("all2all_backend", "allgather_reducescatter"),
        enable_eplb=q.get("enable_eplb", False),
    )
    return MoEQuery(
        num_experts=q["num_experts"],
        top_k=q["top_k"],
        hidden_size=q["hidden_size"],
        intermediate_size_per_partition=q["intermediate_size"] // parallel.tp_size,
        num_local_experts=-(-q["num_experts"] // parallel.ep_size),
        activation=q["activation"],
        routing_method=q["routing_method"],
        router_logits_dtype=q.get("router_logits_dtype"),
        in_dtype=q["in_dtype"],
        parallel=parallel,
        lora=q.get("lora", False),
        has_bias=q.get("has_bias", False),
        moe_backend=q.get("moe_backend", "auto"),
        has_hash_routing=q.get("has_hash_routing", False),
        require_decomposed_backend=q.get("require_decomposed_backend", False),
        swiglu_limit=q.get("swiglu_limit"),
        swiglu_alpha=q.get("swiglu_alpha"),
        swiglu_beta=q.get("swiglu_beta"),
        situ_betas=(q["situ_beta"], q["situ_linear_beta"]) if "situ_beta" in q else None,
        quant=quant_of(q),
    )


# What a select function takes for granted when the recorder names no formats.
_DEFAULT_KEYS = {
    "mxfp8": ("kMxfp8Static", "kMxfp8Dynamic"),
    "int8": ("kInt8StaticChannelSym", "kInt8DynamicTokenSym"),
    "w4a8": ("kInt4Static", "kFp8DynamicTokenSym"),
}


def quant_of(q: dict[str, Any]) -> QuantQuery | None:
    """The formats of a recorded question; None for the unquantized oracle."""
    if q["oracle"] == "unquantized":
        return None
    weight, activation = _DEFAULT_KEYS.get(q["oracle"], (None, None))
    integers = q.get("wna16") or {}
    return QuantQuery(
        weight_key=q.get("weight_key", weight),
        activation_key=q.get("activation_key", activation),
        allow_vllm_cutlass=q.get("allow_vllm_cutlass", False),
        model_type=q.get("model_type"),
        kind=integers.get("kind", "ct"),
        bits=integers.get("bits", 4),
        group_size=integers.get("group_size", 128),
        symmetric=integers.get("sym", True),
        desc_act=bool(integers.get("desc_act", False)),
    )
