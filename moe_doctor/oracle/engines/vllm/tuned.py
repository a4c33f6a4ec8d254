"""Which tile-size files each release ships: `tuned_files.txt`, one name and its releases a line.

Source: fused_moe/configs/ of each wheel; the name is built by get_config_file_name in
fused_moe/fused_moe.py from expert count, shard width, GPU name, dtype and block shape.
"""

from __future__ import annotations

from functools import lru_cache
from importlib import resources

from moe_doctor.core.release import Release, Span, span


def tuned_file_name(num_experts: int, shard: int, gpu_name: str) -> str:
    """The file that the unquantized Triton kernel looks for, without `.json`.

    `num_experts` are those of this rank, `shard` is intermediate_size_per_partition.
    """
    device = gpu_name.replace(" ", "_")
    if "H200" in device.split("_"):
        device = "NVIDIA_H200"
    return f"E={num_experts},N={shard},device_name={device}"


def ships_tuned_file(name: str, release: Release) -> bool:
    """Whether the release's wheel holds it."""
    held = _spans().get(name)
    return held is not None and held.holds(release)


@lru_cache(maxsize=1)
def _spans() -> dict[str, Span]:
    text = resources.files(__package__).joinpath("tuned_files.txt").read_text("utf-8")
    table: dict[str, Span] = {}
    for line in text.splitlines():
        name, _, bounds = line.rpartition(" ")
        since, _, until = bounds.partition("-")
        table[name] = span(since, until)
    return table
