"""Time calls on the GPU as a server runs them: captured in a CUDA graph, replayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


def graph_us(calls: Sequence[Callable[[], Any]], budget_ms: float = 60.0) -> float:
    """Median microseconds of one call over replays of a graph that makes all `calls` in turn."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for call in calls:
            call()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=side):
        kept = [call() for call in calls]
    graph.replay()
    first = _replay_ms(graph)
    times = [_replay_ms(graph) for _ in range(max(3, min(40, int(budget_ms / max(first, 1e-3)))))]
    del kept
    return 1e3 * sorted(times)[len(times) // 2] / len(calls)


def _replay_ms(graph: torch.cuda.CUDAGraph) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    graph.replay()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end))
