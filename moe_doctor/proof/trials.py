"""One case in the child: make its inputs, run it the way it asks for, compare.

An exception of the backend is this case's outcome and the next one still runs; only what leaves the
process unfit, a lost GPU context or no memory, goes on to the worker.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moe_doctor.core.proof import ProofOutcome
from moe_doctor.core.record import replace
from moe_doctor.core.units import count
from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.kernels.reference import fused_moe_reference
from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.compare import compare, tolerance
from moe_doctor.proof.inputs import Batch, Weights, make_batch

if TYPE_CHECKING:
    from moe_doctor.core.spec import RoutingSpec
    from moe_doctor.kernels.schemes import Scheme
    from moe_doctor.proof.adapters.base import Adapter
    from moe_doctor.proof.case import Geometry, ProofCase

_OTHER_SEED = 1000
_GIB = 1 << 30


def run_trial(
    adapter: Adapter, layout: Any, weights: Weights, case: ProofCase, routing: RoutingSpec
) -> dict[str, Any]:
    """The fields of a `case` event; `weights` are as the backend means them."""
    geometry = weights.geometry
    depth = max(geometry.hidden_size, geometry.intermediate_size_per_partition)
    # Of the weights as the backend means them: some leave activations as they are.
    scheme: str | Scheme = geometry.scheme
    if isinstance(weights.w13, QuantizedWeights):
        scheme = weights.w13.scheme
    fields: dict[str, Any] = {
        "name": case.name,
        "num_tokens": case.num_tokens,
        "relative_error": None,
        "tolerance": tolerance(geometry.dtype, depth, scheme),
        "elapsed_ms": 0.0,
        "passed": False,
        "outcome": ProofOutcome.SKIPPED.value,
    }
    why = _why_not(adapter, case, geometry, weights.w13.device)
    if why is not None:
        return {**fields, "detail": why}
    started = time.perf_counter()
    try:
        got, batch, again = _outputs(adapter, layout, weights, case, routing)
    except UnfitError as error:
        return {**fields, "detail": str(error)}
    except Exception as error:
        if kind_of(error) != "exception":
            raise
        traceback.print_exception(error)
        text = f"{type(error).__name__}: {error}"[:2000].rstrip(": ")
        failed = ProofOutcome.FAILED.value
        return {**fields, "outcome": failed, "raised": True, "detail": text}
    elapsed_ms = (time.perf_counter() - started) * 1e3
    wanted = fused_moe_reference(
        batch.hidden_states,
        weights.w13,
        weights.w2,
        batch.topk_weights,
        batch.topk_ids,
        **weights.arguments(),
        lora=batch.lora,
    )
    found = compare(got, wanted, dtype=geometry.dtype, depth=depth, scheme=scheme)
    passed, detail = found.passed, found.detail
    if again is not None and not torch.equal(got, again):
        unequal = int((got != again).sum())
        passed = False
        detail = "; ".join(
            filter(None, (detail, f"{count(unequal, 'element')} of a second run differ in bits"))
        )
    if not passed:
        detail = "; ".join(filter(None, (detail, adapter.hint(layout, batch))))
    outcome = ProofOutcome.PASSED if passed else ProofOutcome.FAILED
    return {
        **fields,
        "relative_error": found.relative_error,
        "elapsed_ms": elapsed_ms,
        "passed": passed,
        "outcome": outcome.value,
        "detail": detail,
    }


def kind_of(error: BaseException) -> str:
    """`exception`, `out_of_memory` or `gpu`: what a parent cannot tell from an exit code."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    text = " ".join(f"{type(each).__name__}: {each}" for each in chain)
    if any(isinstance(each, MemoryError) for each in chain) or any(
        words in text for words in ("OutOfMemoryError", "out of memory", "can't allocate memory")
    ):
        return "out_of_memory"
    if "captur" in text:
        return "exception"  # a call that a CUDA graph cannot hold leaves the context as it was
    if "CUDA error" in text or "HIP error" in text or "AcceleratorError" in text:
        return "gpu"
    return "exception"


def _why_not(
    adapter: Adapter, case: ProofCase, geometry: Geometry, device: torch.device
) -> str | None:
    """Why this backend is not asked this case here."""
    if case.how == "graph" and device.type != "cuda":
        return "CUDA graphs need a GPU"
    if case.how == "graph" and adapter.no_graph:
        return adapter.no_graph
    if case.how == "twice" and not adapter.repeatable:
        return "this backend promises no equal bits"
    if case.strided and not adapter.takes_strided:
        return "engines hand it dense tensors alone"
    if device.type != "cuda":
        return None
    # Activations of both projections, and the reference's in fp32 beside them.
    pairs = case.num_tokens * geometry.top_k
    widths = 2 * geometry.hidden_size + 3 * geometry.intermediate_size_per_partition
    need = pairs * widths * geometry.element_bytes + 6 * case.num_tokens * geometry.hidden_size * 4
    free = int(torch.cuda.mem_get_info(device)[0])
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if need > free:
        return f"needs about {need / _GIB:.1f} GiB beside the weights; {free / _GIB:.1f} are free"
    return None


def _outputs(
    adapter: Adapter, layout: Any, weights: Weights, case: ProofCase, routing: RoutingSpec
) -> tuple[Tensor, Batch, Tensor | None]:
    """The output, the inputs that it is of, and the output of a second run where there was one."""
    batch = make_batch(case, weights, routing)
    out = _unwritten(batch)
    again: Tensor | None = None
    with _poisoned():
        if case.how == "graph":
            other = make_batch(replace(case, seed=case.seed + _OTHER_SEED), weights, routing)
            got = _replayed(adapter, layout, batch, other, out)
            batch = other
        else:
            got = adapter.run(layout, batch, out)
        if case.how == "twice":
            got = got.clone()
            again = adapter.run(layout, batch, _unwritten(batch))
    if got.is_cuda:
        torch.cuda.synchronize()
    return got, batch, again


def _unwritten(batch: Batch) -> Tensor:
    states = batch.hidden_states
    return torch.full_like(states, float("nan"), memory_format=torch.contiguous_format)


def _replayed(adapter: Adapter, layout: Any, batch: Batch, other: Batch, out: Tensor) -> Tensor:
    """Capture the call with one batch, replay it with another one's values in the same tensors."""
    side: torch.cuda.Stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(2):  # compiles and allocates what a capture must not
            adapter.run(layout, batch, out)
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = adapter.run(layout, batch, out)
    for name in ("hidden_states", "topk_weights", "topk_ids"):
        getattr(batch, name).copy_(getattr(other, name))
    for unwritten in (out, got):
        unwritten.fill_(float("nan"))
    graph.replay()
    torch.cuda.synchronize()
    return got


@contextlib.contextmanager
def _poisoned() -> Iterator[None]:
    """Fill every fresh tensor with NaN, so that a value that was never written cannot pass."""
    # Filling is torch's default under deterministic algorithms
    # (torch.utils.deterministic.fill_uninitialized_memory). torch.use_deterministic_algorithms
    # does the same and imports torch._inductor for it, which takes seconds.
    torch.set_deterministic_debug_mode("warn")
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode("default")
