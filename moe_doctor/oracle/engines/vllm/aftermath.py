"""What happens after the oracle has answered: servers that die, or go wrong without a word.

The oracle is asked while the model is built. Three later places refuse what it chose: the kernel's
constructor (make_unquantized_moe_kernel), the weights' conversion, and LoRA's wrapper around the
layer (lora/layers/fused_moe.py). Rows are tried in order; the first that holds is what the user
meets first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import replace
from moe_doctor.core.release import Release, Span, span
from moe_doctor.core.selection import EngineError, Selection
from moe_doctor.oracle.walk import Walk


class Aftermath(NamedTuple):
    """One way in which a choice goes wrong later."""

    when: Callable[[Selection, Walk], bool]
    """Whether it does."""
    span: Span
    """Releases."""
    crash: Callable[[Walk], EngineError] | None = None
    """The exception, when there is one."""
    hazard: str = ""
    """What goes wrong without one."""


def foresee(selection: Selection, walk: Walk) -> Selection:
    """The selection with its crash or hazard, and with the class that really runs."""
    if selection.oracle == "humming" and selection.kernel is None:
        return replace(selection, crash=EngineError("AssertionError", ""))
    if not selection.lora:
        return selection  # every row is about adapters
    if (
        selection.oracle == "unquantized"
        and walk.release <= (0, 19, 1)
        and walk.situation.facts.platform != "cpu"
    ):
        # The wrapper builds TritonExperts by itself, whatever the oracle said:
        # UnquantizedFusedMoEMethod keeps its kernel where supports_internal_mk does not look.
        selection = replace(selection, runs="TritonExperts")
    for row in _rows(walk.release):
        if row.when(selection, walk):
            crash = row.crash(walk) if row.crash is not None else None
            return replace(selection, crash=crash, hazard=row.hazard)
    return selection


def _lora_standard_kernel_batched(selection: Selection, walk: Walk) -> bool:
    return (
        selection.lora
        and selection.kernel == "TritonExperts"
        and walk.situation.activation_format == "batched"
    )


def _fp8_lora_batched(selection: Selection, walk: Walk) -> bool:
    return selection.oracle == "fp8" and _lora_standard_kernel_batched(selection, walk)


def _lora_kernel_on_wrong_device(selection: Selection, walk: Walk) -> bool:
    return (
        selection.lora
        and selection.kernel == "TritonExperts"
        and walk.situation.facts.platform == "cpu"
    )


def _lora_with_ep(selection: Selection, walk: Walk) -> bool:
    return selection.lora and walk.situation.query.parallel.use_ep


def _lora_with_other_all2all(selection: Selection, walk: Walk) -> bool:
    parallel = walk.situation.query.parallel
    return parallel.all2all_backend != "allgather_reducescatter" and _lora_with_ep(selection, walk)


def _lora_with_sequence_parallel(selection: Selection, walk: Walk) -> bool:
    return walk.situation.query.parallel.sp_size > 1 and _lora_with_ep(selection, walk)


def _lora_on_converted_weights(selection: Selection, walk: Walk) -> bool:
    return selection.lora and selection.backend in (
        "ROCm AITER",
        "FlashInfer CUTLASS",
        "FlashInfer TRTLLM",
    )


def _lora_on_monolithic_cpu(selection: Selection, walk: Walk) -> bool:
    return selection.lora and selection.backend == "CPU" and selection.kernel is None


def _error(type_: str, message: str) -> Callable[[Walk], EngineError]:
    return lambda walk: EngineError(type_, message)


def _other_all2all(walk: Walk) -> EngineError:
    name = walk.situation.query.parallel.all2all_backend
    return EngineError(
        "AssertionError",
        "Fused MoE LoRA with EP currently only supports "
        f"all2all_backend='allgather_reducescatter', got '{name}'.",
    )


ROWS: tuple[Aftermath, ...] = (
    # make_unquantized_moe_kernel passes max_num_tokens and num_dispatchers for a batched
    # dispatch; TritonExperts.__init__ takes neither.
    Aftermath(
        _lora_standard_kernel_batched,
        span("0.20.0"),
        _error(
            "TypeError",
            "TritonExperts.__init__() got an unexpected keyword argument 'max_num_tokens'",
        ),
    ),
    # The FP8 oracle answers TritonExperts for LoRA whatever the dispatch (oracle/fp8.py).
    Aftermath(
        _fp8_lora_batched,
        span(until="0.19.1"),
        _error(
            "TypeError",
            "TritonExperts.__init__() got an unexpected keyword argument 'max_num_tokens'",
        ),
    ),
    Aftermath(
        _lora_with_ep,
        span(until="0.20.2"),
        _error("AssertionError", "EP support for Fused MoE LoRA is not implemented yet."),
    ),
    Aftermath(_lora_with_other_all2all, span("0.21.0"), _other_all2all),
    # `assert not moe_config.moe_parallel_config.is_sequence_parallel`, without a message
    Aftermath(_lora_with_sequence_parallel, span("0.21.0"), _error("AssertionError", "")),
    # The monolithic CPU path keeps no modular kernel that could take adapters.
    Aftermath(
        _lora_on_monolithic_cpu,
        span("0.20.0", "0.27.1"),
        _error("AssertionError", "Monolithic kernels are not supported for Fused MoE LoRA."),
    ),
    Aftermath(
        _lora_on_converted_weights,
        span(until="0.19.1"),
        hazard=(
            "the weights are laid out for the chosen backend, but LoRA's wrapper runs "
            "TritonExperts on them: wrong numbers without an error"
        ),
    ),
    Aftermath(
        _lora_kernel_on_wrong_device,
        span("0.28.0"),
        hazard="vLLM answers TRITON for LoRA on a CPU, where TritonExperts does not run",
    ),
)


@lru_cache(maxsize=64)
def _rows(release: Release) -> tuple[Aftermath, ...]:
    return tuple(row for row in ROWS if row.span.holds(release))
