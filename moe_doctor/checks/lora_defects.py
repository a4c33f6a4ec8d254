"""5xx: releases whose adapters' kernels go wrong once they run.

MOE506, MOE507 and MOE509 were seen in proofs of 0.20.0's own kernels on an H100; the releases
beside it have the same code. MOE508 and MOE510 are read off the sources, and users met both.
"""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.checks.lora import serve_line
from moe_doctor.core.findings import Finding
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.selection import Selection
from moe_doctor.rules import lora as rules
from moe_doctor.rules.rule import Rule

# Tokens are not sorted where their pairs are fewer than this share of experts x adapters.
_SPARSITY = 8
_PUNICA_GPU = ("cuda", "rocm")
_ONE_SHOT = 128


def check_stale_adapters(case: Case) -> Iterator[Finding]:
    """MOE506; every kernel that runs with LoRA goes through that buffer."""
    for _, query in _served(case, rules.STALE_ADAPTERS):
        few = query.num_experts // (_SPARSITY * query.top_k)
        if few and not query.parallel.use_ep:  # an expert map sorts the tokens
            yield rules.STALE_ADAPTERS.finding(
                f"with adapters loaded, {case.engine_name} keeps the adapter of the batch before "
                f"in batches without one, up to {few} token{'s' if few > 1 else ''} times "
                "max_loras"
            )
            return


def check_scaled_inputs(case: Case) -> Iterator[Finding]:
    """MOE507."""
    if _hands_over_quantized(case, rules.SCALED_INPUTS):
        yield rules.SCALED_INPUTS.finding(
            f"{case.engine_name} hands adapters on the experts the hidden states after their "
            "quantization, without the scale: their part of gate and up is wrong"
        )


def check_refused_inputs(case: Case) -> Iterator[Finding]:
    """MOE508."""
    if _hands_over_quantized(case, rules.REFUSED_INPUTS):
        yield rules.REFUSED_INPUTS.finding(
            f"{case.engine_name} hands its adapters' kernel quantized hidden states, for which it "
            "does not compile: the first forward pass dies with an AssertionError in tl.dot"
        )


def check_mixed_batches(case: Case) -> Iterator[Finding]:
    """MOE509."""
    if _served(case, rules.MIXED_BATCHES):
        yield rules.MIXED_BATCHES.finding(
            f"{case.engine_name} has room for max_loras kinds of tokens in a batch, and tokens "
            "without an adapter count as one: with the default --max-loras 1 a batch of base and "
            "adapter requests leaves the adapter out or dies of an illegal memory access",
            commands=serve_line(case, "--max-loras 2"),
        )


def check_large_ranks(case: Case) -> Iterator[Finding]:
    """MOE510; FlashInfer's LoRA experts bring kernels of their own."""
    rank = case.request.deployment.max_lora_rank or 0
    served = _served(case, rules.LARGE_RANKS)
    if rank > _ONE_SHOT and any(
        not (selection.runs or "").startswith("TrtLlm") for selection, _ in served
    ):
        yield rules.LARGE_RANKS.finding(
            f"--max-lora-rank is {rank}; without --fully-sharded-loras {case.engine_name} asserts "
            f"in its warm-up: fused_moe_lora_one_shot supports max_lora_rank<={_ONE_SHOT}; got "
            f"rank={rank}",
            commands=serve_line(case, f"--max-lora-rank {rank} --fully-sharded-loras"),
        )


def _hands_over_quantized(case: Case, rule: Rule) -> bool:
    # INT8's dynamic scales make no quantized inputs: make_int8_moe_quant_config takes 16 bits then.
    return any(
        (selection.oracle, selection.runs) == ("fp8", "TritonExperts")
        for selection, _ in _served(case, rule)
    )


def _served(case: Case, rule: Rule) -> list[tuple[Selection, MoEQuery]]:
    """What runs with adapters, where the release has the rule's defect and the platform's code."""
    release = case.release
    if release is None or not rule.vllm.holds(release) or case.machine.platform not in _PUNICA_GPU:
        return []
    return [
        (selection, query)
        for selection, query in case.chosen(lora=True)
        if selection.crash is None and not selection.hazard
    ]


CHECKS = (
    check_stale_adapters,
    check_scaled_inputs,
    check_refused_inputs,
    check_mixed_batches,
    check_large_ranks,
)
