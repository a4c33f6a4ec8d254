"""Which forwards to run and how much of the model: pure, from spec, mode, level and memory.

On a GPU the widths, top_k and dtype are the model's own and only the expert count shrinks, to fit
memory. Triton's interpreter takes about 0.11 us of CPU time per weight element that it reads
(measured 2026-11-22, x86-64 server: 50 ns of it in the load), so there the number of tiles, one
expert's weights each, is kept within a budget: first fewer experts, then a smaller top_k, and only
where four tiles of one expert are too many a narrower expert.
"""

from __future__ import annotations

from moe_doctor.core.record import replace
from moe_doctor.core.spec import MoESpec, RoutingSpec
from moe_doctor.kernels.activations import resolve
from moe_doctor.kernels.schemes import NONE, find_scheme
from moe_doctor.proof.case import Geometry, LoRASetup, ProofCase, ProofPlan

INTERPRETER_BUDGET = 45_000_000
"""Weight elements that one interpreted proof reads: about 6 s."""

_GROUPED_COST = 3
# An element takes so much longer where steps are no longer than a group of activations.

_INTERPRETER_DTYPE = "float16"
# numpy has no bfloat16, and the interpreter's tl.dot on it returns garbage (triton 3.2 to 3.9).

DEFAULT_BATCHED_TOKENS = 8192
"""The largest batch of a server on a data-center GPU that was told nothing (vLLM 0.20 to 0.33)."""

_THOROUGH = 4
# The level from which on every case runs.
_ROOM_FOR_ODD = 8
# Experts from which on two may be odd without most tokens' output being zero.
_LARGE = {"bfloat16": 2.0**30, "float32": 2.0**30, "float16": 2.0**5}
# Standard deviation of large hidden states: their products come near the type's largest value
# (fp16 ends at 65504, and gate * up of 2^5 * 4 each is a fourth of that), cubes stay within fp32.
_CLAMPED = 4
# Standard deviation of large hidden states over the clamp, where adapters are applied as well. Far
# beyond a clamp the activation is a step: an adapter's shrunk vector, rounded by u, lets u of the
# gates change sides, an error of sqrt(u) that no backend can avoid (seen in bf16 at 2^30: 2.8e-2
# on an H100, 2.4e-2 with nothing but that rounding put into the reference; 1.1e-3 at 28).
_GPU_TOKENS = (1, 2, 16, 17, 64, 304, 1024)
_MEMORY_SHARE = 0.7
# What is left is for activations, the reference's fp32 copies and the framework.
_LAYOUT_COPIES = 2
# The shared weights and the backend's own layout of them.


def make_plan(
    spec: MoESpec,
    *,
    implementation: str,
    mode: str,
    intermediate_size_per_partition: int,
    num_local_experts: int,
    dtype: str,
    lora: bool,
    level: int,
    memory_bytes: int | None,
    share: int = 1,
    scheme: str = NONE,
    max_num_batched_tokens: int = DEFAULT_BATCHED_TOKENS,
) -> ProofPlan:
    """Choose geometry and cases; `memory_bytes` is the device's memory, None when unknown."""
    act = resolve(spec.activation, spec.gated, spec.swiglu_limit, None, None)
    geometry = Geometry(
        num_experts=num_local_experts,
        num_experts_model=num_local_experts,
        top_k=min(spec.top_k, num_local_experts),
        top_k_model=spec.top_k,
        hidden_size=spec.hidden_size,
        intermediate_size_per_partition=intermediate_size_per_partition,
        intermediate_size_per_partition_model=intermediate_size_per_partition,
        activation=spec.activation,
        gated=spec.gated,
        dtype=dtype,
        dtype_model=dtype,
        scheme=scheme,
        has_bias=spec.has_bias,
        limit=act.limit or None,
        alpha=act.alpha,
        beta=act.beta,
    )
    setup = _lora_setup(mode, level) if lora else None
    if mode == "gpu":
        odd = level >= _THOROUGH and num_local_experts >= _ROOM_FOR_ODD
        geometry = replace(geometry, odd_experts=odd)
        cases = _gpu_cases(level, lora, geometry, max_num_batched_tokens)
    else:
        geometry = _fit_cpu(geometry, lora)
        if mode == "interpreter":
            geometry = replace(geometry, dtype=_INTERPRETER_DTYPE)
        cases = _interpreter_cases(level, lora, geometry.dtype)
    if memory_bytes is not None:
        geometry = fit_memory(geometry, setup, memory_bytes // share) or geometry
    return ProofPlan(
        implementation=implementation,
        mode=mode,
        geometry=geometry,
        routing=fit_routing(spec.routing, spec.num_experts, geometry),
        cases=cases,
        lora=setup,
        share=share,
    )


def fit_memory(geometry: Geometry, lora: LoRASetup | None, free_bytes: int) -> Geometry | None:
    """The geometry with as many experts as fit; None where not even one does."""
    elements = geometry.elements_per_expert
    per_expert = _LAYOUT_COPIES * geometry.weight_bytes_per_expert
    if lora is not None:
        rows = 3 if geometry.gated else 2
        widths = 2 * geometry.hidden_size + rows * geometry.intermediate_size_per_partition
        per_expert += lora.max_loras * lora.rank * widths * geometry.element_bytes
    # The reference holds one expert in fp32.
    experts = int(free_bytes * _MEMORY_SHARE - 4 * elements) // per_expert
    if experts < 1:
        return None
    num_experts = min(geometry.num_experts, experts)
    return replace(geometry, num_experts=num_experts, top_k=min(geometry.top_k, num_experts))


def fit_routing(routing: RoutingSpec, num_experts: int, geometry: Geometry) -> RoutingSpec:
    """The model's routing, without groups where the experts that run are not all of them."""
    if geometry.num_experts == num_experts or routing.num_expert_group is None:
        return routing
    return routing._replace(num_expert_group=None, topk_group=None)


def _fit_cpu(geometry: Geometry, lora: bool) -> Geometry:
    rows = 3 if geometry.gated else 2
    hidden, inner = geometry.hidden_size, geometry.intermediate_size_per_partition
    least = 4 * rows * hidden * inner
    if least > INTERPRETER_BUDGET:
        inner = max(16, INTERPRETER_BUDGET // (4 * rows * hidden) // 16 * 16)
    grouped = find_scheme(geometry.scheme).activations == "group"
    budget = INTERPRETER_BUDGET // (_GROUPED_COST if grouped else 1)
    tiles = max(4, budget // (rows * hidden * inner))
    # Tiles that the fixed case takes: one expert, split in three by the adapters (see
    # _interpreter_cases); the rest is for the case with the model's top_k.
    left = max(2, tiles - (3 if lora else 1))
    num_experts = min(geometry.num_experts, left + 1)
    return replace(
        geometry,
        num_experts=num_experts,
        top_k=max(1, min(geometry.top_k, left, num_experts - 1)),
        intermediate_size_per_partition=inner,
    )


def _lora_setup(mode: str, level: int) -> LoRASetup:
    """Several adapters; some touch one projection alone, and at level 4 one has rank 256."""
    if mode != "gpu":
        # The interpreter's tiles are counted for two adapters (`_fit_cpu`).
        modules = ("both", "both") if level < _THOROUGH else ("w13", "w2")
        return LoRASetup((16, 8), (2.0, 0.5), modules)
    if level < _THOROUGH:
        return LoRASetup((16, 8, 16), (2.0, 0.5, 1.0), ("both", "w13", "w2"))
    return LoRASetup((256, 8, 64, 32), (0.25, 2.0, 0.5, 1.0), ("both", "w13", "w2", "both"))


def _interpreter_cases(level: int, lora: bool, dtype: str) -> tuple[ProofCase, ...]:
    if lora:
        cases = [
            ProofCase("all-tokens-one-expert", 3, "all-tokens-one-expert", 1, "mixed"),
            ProofCase("experts-without-tokens", 1, "experts-without-tokens", 2, "all"),
        ]
    else:
        cases = [
            ProofCase("all-tokens-one-expert", 5, "all-tokens-one-expert", 1),
            ProofCase("experts-without-tokens", 3, "experts-without-tokens", 2),
        ]
    if level >= _THOROUGH:
        ids = "mixed" if lora else "none"
        cases += [
            ProofCase("random", 17, "random", 3, ids),
            ProofCase("all-negative-logits", 2, "all-negative-logits", 4, ids),
            ProofCase("tiny-activations", 2, "random", 5, ids, scale=_tiny(dtype)),
            ProofCase("zero-tokens", 3, "random", 6, ids, zero_tokens=True),
            ProofCase("strided-inputs", 3, "random", 7, ids, strided=True),
            ProofCase("same-bits-twice", 2, "random", 8, ids, how="twice"),
        ]
    return tuple(cases)


def _tiny(dtype: str) -> float:
    """Small, and the product of gate and up still no subnormal number: float16's begin at 6e-5."""
    return 2.0**-4 if dtype == "float16" else 1e-2


def _gpu_cases(
    level: int, lora: bool, geometry: Geometry, max_num_batched_tokens: int
) -> tuple[ProofCase, ...]:
    mixed = "mixed" if lora else "none"
    every = "all" if lora else "none"
    cases = [ProofCase("random", tokens, "random", tokens, mixed) for tokens in _GPU_TOKENS]
    for pattern, sizes in (
        ("experts-without-tokens", (16, 64, 304)),
        ("all-tokens-one-expert", (17, 64, 1024)),
        ("all-tokens-same-experts", (64,)),
    ):
        cases += [ProofCase(pattern, tokens, pattern, 7 + tokens, every) for tokens in sizes]
    if level < _THOROUGH:
        return tuple(cases)
    large = _LARGE[geometry.dtype]
    if find_scheme(geometry.scheme).activations == "static":
        large = 8.0  # a stored scale holds no more
    if lora and geometry.limit is not None:
        large = min(large, _CLAMPED * geometry.limit)
    cases += [
        ProofCase("all-negative-logits", 17, "all-negative-logits", 12, mixed),
        ProofCase("all-negative-logits", 304, "all-negative-logits", 17, mixed),
        ProofCase("tiny-activations", 17, "random", 13, mixed, scale=_tiny(geometry.dtype)),
        ProofCase("large-activations", 17, "random", 14, mixed, scale=large),
        ProofCase("zero-tokens", 17, "random", 16, mixed, zero_tokens=True),
        ProofCase("strided-inputs", 17, "random", 18, mixed, strided=True),
        ProofCase("strided-inputs", 304, "random", 19, mixed, strided=True),
        ProofCase("same-bits-twice", 64, "random", 20, mixed, how="twice"),
        ProofCase("same-bits-twice", 1024, "random", 21, mixed, how="twice"),
    ]
    if geometry.odd_experts:
        cases += [
            ProofCase("tiny-and-zero-experts", tokens, "odd-experts", 22 + tokens, mixed)
            for tokens in (1, 64, 304)
        ]
    if lora:
        cases.append(ProofCase("no-token-has-an-adapter", 64, "random", 15, "none"))
    if max_num_batched_tokens not in _GPU_TOKENS:
        cases.append(ProofCase("random", max_num_batched_tokens, "random", 11, mixed))
    # Last: a capture that fails leaves the most behind.
    cases += [
        ProofCase("cuda-graph-replay", tokens, "random", 23 + tokens, mixed, how="graph")
        for tokens in (1, 16, 64)
    ]
    return tuple(cases)
