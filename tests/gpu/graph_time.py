"""Time calls on the GPU as a server runs them: captured in a CUDA graph, replayed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

Calls = Sequence[Callable[[], Any]]


class Captured:
    """A graph that makes `calls` in turn."""

    def __init__(self, calls: Calls) -> None:
        """Run each call once, then capture all of them."""
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for call in calls:
                call()
        side.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=side):
            self._kept = [call() for call in calls]
        self._count = len(calls)
        self.replay_us()

    def replay_us(self) -> float:
        """Microseconds of one call, from one replay."""
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        self._graph.replay()
        end.record()
        end.synchronize()
        return 1e3 * float(start.elapsed_time(end)) / self._count


def graph_us(calls: Calls, budget_ms: float = 60.0) -> float:
    """Median microseconds of one call over replays of a graph that makes all `calls` in turn."""
    captured = Captured(calls)
    return _median([captured.replay_us() for _ in range(_rounds(captured, len(calls), budget_ms))])


def interleaved_us(named: Mapping[str, Calls], budget_ms: float = 60.0) -> dict[str, float]:
    """Medians of several implementations, replayed in turn.

    A GPU under load lowers its clock; taking turns puts all of them under the same one.
    """
    captured = {name: Captured(calls) for name, calls in named.items()}
    rounds = {name: _rounds(one, len(named[name]), budget_ms) for name, one in captured.items()}
    times: dict[str, list[float]] = {name: [] for name in named}
    for _ in range(min(rounds.values())):
        for name, one in captured.items():
            times[name].append(one.replay_us())
    return {name: _median(found) for name, found in times.items()}


def print_ratios(ratios: Mapping[str, Sequence[float]]) -> None:
    """How many times longer each peer took: geometric mean and least over the cells."""
    for peer, values in ratios.items():
        mean = math.exp(sum(map(math.log, values)) / len(values))
        least = min(values)
        print(f"{peer:12} geometric mean {mean:.3f}x, least {least:.3f}x, {len(values)} cells")


def _rounds(captured: Captured, count: int, budget_ms: float) -> int:
    return max(5, min(40, int(budget_ms / max(captured.replay_us() * count / 1e3, 1e-3))))


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
