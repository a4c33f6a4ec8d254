"""Constraints in words: one function per kind, read off the same fields that judge.

Kinds are looked up by name: each stands beside the kernels that need it, and a page loads the files
of its own kernels alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from moe_doctor.backends.constraints import Constraint
from moe_doctor.core.support import Condition
from moe_doctor.core.units import format_capability

Describer = Callable[[Any], tuple[Condition, ...]]


def describe(constraint: Constraint) -> tuple[Condition, ...]:
    """What a constraint asks, by topic; a kind without words of its own says its docstring."""
    describer = DESCRIBERS.get(type(constraint).__name__)
    if describer is not None:
        return describer(constraint)
    first = (type(constraint).__doc__ or type(constraint).__name__).splitlines()[0]
    return (Condition("other", first.rstrip(".")),)


def _device(one: Any) -> tuple[Condition, ...]:
    text = f"where {one.feature} is available" if one.feature else ""
    return (Condition("devices", text, tuple(device_items(one))),)


def device_items(one: Any) -> Iterable[str]:
    """`CUDA 9.0`, `CUDA 10.x`, `ROCm gfx942`, `XPU`, `CPU x86_64`."""
    for platform in one.platforms:
        match platform:
            case "cuda":
                yield from _cuda_items(one)
            case "rocm":
                yield from (f"ROCm {arch}" for arch in one.archs) if one.archs else ["ROCm"]
            case "cpu":
                yield from (f"CPU {arch}" for arch in one.cpu_archs) if one.cpu_archs else ["CPU"]
            case _:
                yield platform.upper()


def _cuda_items(one: Any) -> Iterable[str]:
    wanted = [format_capability(each) for each in one.exact]
    wanted += [f"{major}.x" for major in one.majors]
    if wanted:
        return [f"CUDA {each}" for each in wanted]
    if one.minimum is not None:
        return [f"CUDA {format_capability(one.minimum)} or newer"]
    return ["CUDA"]


def _activations(one: Any) -> tuple[Condition, ...]:
    text = f"on {' and '.join(one.platforms)}" if one.platforms else ""
    return (Condition("activations", text, tuple(sorted(one.names))),)


def _schemes(one: Any) -> tuple[Condition, ...]:
    return (Condition("formats", "", tuple(item for row in one.rows for item in _formats(row))),)


def _formats(row: Any) -> list[str]:
    """`kFp8StaticTensorSym x kFp8StaticTensorSym`, with the device where a row has its own."""
    where = "" if row.device is None else f" ({', '.join(device_items(row.device))})"
    pairs = getattr(row, "pairs", None)
    if pairs is None:
        return [f"{row.words}{where}"]
    if row.any_activation:
        weights = sorted({weight or "plain" for weight, _ in pairs})
        return [f"{weight} x any{where}" for weight in weights]
    return sorted(f"{format_pair(pair)}{where}" for pair in pairs)


def format_pair(pair: tuple[str | None, str | None]) -> str:
    """Weights x inputs in the engine's names; `plain` = not quantized."""
    weight, activation = (key or "plain" for key in pair)
    return "plain" if pair == (None, None) else f"{weight} x {activation}"


def _parallel(one: Any) -> tuple[Condition, ...]:
    items = [
        *(f"not behind {name}" for name in sorted(one.refuses_all2all)),
        *(f"behind {name}" for name in sorted(one.only_all2all)),
    ]
    for held, words in (
        (one.needs_all2all, "only behind an all2all"),
        (one.refuses_any_all2all, "only without an all2all"),
        (one.refuses_eplb, "no EPLB"),
        (one.refuses_sequence_parallel, "no sequence parallelism"),
        (one.needs_ep, "only with expert parallelism"),
        (one.refuses_ep, "no expert parallelism"),
        (one.refuses_dp, "no data parallelism"),
    ):
        items += [words] if held else []
    return (Condition("parallel", "", tuple(items)),)


def _routing(one: Any) -> tuple[Condition, ...]:
    return (Condition("routing", "inside the kernel", tuple(sorted(one.names))),)


def _routing_by_format(one: Any) -> tuple[Condition, ...]:
    pair = format_pair(one.pair)
    return (
        Condition("routing", "inside the kernel", tuple(sorted(one.names))),
        Condition("routing", f"inside the kernel for {pair}", tuple(sorted(one.own))),
    )


def _logits_for(one: Any) -> tuple[Condition, ...]:
    return (Condition("routing", "for float32 router logits", tuple(sorted(one.methods))),)


def _dispatch(one: Any) -> tuple[Condition, ...]:
    return (Condition("dispatch", "", (getattr(one, "name", "standard"),)),)


def _only_for(one: Any) -> tuple[Condition, ...]:
    whose = "for quantized layers" if one.quantized else "for plain layers"
    return tuple(
        each._replace(text=f"{each.text}, {whose}" if each.text else whose)
        for each in describe(one.inner)
    )


def _swiglu_parameters(one: Any) -> tuple[Condition, ...]:
    names = f" with {' or '.join(sorted(one.activations))}" if one.activations else ""
    formats = tuple(sorted(map(format_pair, one.formats)))
    return (Condition("activations", f"alpha, beta and clamp{names} for", formats),)


def _padded_experts(one: Any) -> tuple[Condition, ...]:
    where = " and ".join(one.platforms)
    return (Condition("other", f"fewer than {one.limit} experts, padded to 32, on {where}"),)


def _cpu_tiles(one: Any) -> tuple[Condition, ...]:
    sizes = f"multiples of {one.output}, and of {one.reduction} where summed over"
    return (Condition("other", f"hidden and expert sizes are {sizes}"),)


def _divides(one: Any) -> tuple[Condition, ...]:
    sizes = "hidden and expert sizes are multiples" if one.shard else "hidden size is a multiple"
    return (Condition("other", f"{sizes} of {one.multiple}"),)


def _input_types(one: Any) -> tuple[Condition, ...]:
    return (Condition("other", "hidden states in", tuple(sorted(one.names))),)


def _swigluoai_only(one: Any) -> tuple[Condition, ...]:
    items = ("silu", "swigluoai_uninterleave") if one.silu_too else ("swigluoai_uninterleave",)
    return (Condition("activations", "with the constants of SwiGLU-OAI", items),)


def _says(topic: str, text: str) -> Describer:
    """A kind without fields: one sentence."""
    condition = (Condition(topic, text),)
    return lambda _: condition


DESCRIBERS: dict[str, Describer] = {
    "Activations": _activations,
    "ArmFirst": lambda _: (Condition("devices", "", ("CPU aarch64",)),),
    "B12xLimits": _says(
        "other",
        "no bias, float16 or bfloat16, SiTU with beta 4 and 25 alone, sizes that MXFP4 blocks fill",
    ),
    "Bfloat16Only": lambda _: (Condition("other", "hidden states in", ("bfloat16",)),),
    "CpuTiles": _cpu_tiles,
    "Device": _device,
    "DividesBy": _divides,
    "EarlyFloat32Logits": lambda _: (
        Condition("routing", "for float32 router logits", ("DeepSeekV3",)),
    ),
    "EarlyFormat": _dispatch,
    "FirstInputTypes": _input_types,
    "Float32Logits": _logits_for,
    "Format": _dispatch,
    "GatedOnly": _says("activations", "gated layers only"),
    "GemmType": lambda one: (
        Condition("other", f"where VLLM_HUMMING_MOE_GEMM_TYPE leads to {one.name}"),
    ),
    "HiddenMultiple": lambda one: (
        Condition("other", f"hidden size is a multiple of {one.multiple}"),
    ),
    "InputTypes": _input_types,
    "LogitsTypes": lambda one: (Condition("routing", "router logits in", tuple(one.names)),),
    "MaxExperts": lambda one: (Condition("other", f"at most {one.limit} experts"),),
    "MegakernelLimits": _says(
        "other", "bfloat16 without bias; as the DeepGEMM kernel MXFP4 with DeepseekV4 routing alone"
    ),
    "NeedsFlyDsl": _says("devices", "where AITER has its FlyDSL kernels"),
    "NeedsQuark": _says("devices", "where amd-quark is installed"),
    "NoAdjustedRoutes": _says("routing", "not where routes are adjusted afterwards"),
    "NoBias": _says("other", "no bias"),
    "NoHashRouting": _says("routing", "not by a table over token ids"),
    "NoLoRA": _says("LoRA", "no"),
    "NoLoRAFirst": _says("LoRA", "no"),
    "NotBatchInvariant": _says("batch invariance", "no"),
    "OnlyFor": _only_for,
    "PaddedExpertsBelow": _padded_experts,
    "ParallelSizes": _parallel,
    "QuantSchemes": _schemes,
    "RoutingByFormat": _routing_by_format,
    "RoutingMethods": _routing,
    "SituByFlashInfer": _says("activations", "situ where FlashInfer has it"),
    "SwigluOaiOnly": _swigluoai_only,
    "SwigluParameters": _swiglu_parameters,
    "TerseFormat": _dispatch,
    "TopKAtLeast": lambda one: (Condition("other", f"top_k is at least {one.minimum}"),),
}
"""Name of a kind -> its words."""
