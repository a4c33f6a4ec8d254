"""Which tile-size files each release ships: `tuned_files.txt`, one name and its releases a line.

Source: fused_moe/configs/ of each wheel; the name is built by get_config_file_name in
fused_moe/fused_moe.py from expert count, shard width, GPU name, dtype and block shape.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from moe_doctor.core.query import QuantQuery
from moe_doctor.core.release import Release, Span, span

_BLOCKS = re.compile(r"GroupShape\(row=(\d+), ?col=(\d+)\)")
"""Rows and columns of a block, in a format's description."""


def tuned_file_name(
    num_experts: int, shard: int, gpu_name: str, oracle: str, quant: QuantQuery | None, dtype: str
) -> str | None:
    """The file that `oracle`'s Triton kernel looks for, without `.json`; None where it reads none.

    `num_experts` are those of this rank, `shard` is intermediate_size_per_partition, `dtype` that
    of the hidden states. Source: vLLM 0.33 fused_moe/config.py, _get_config_dtype_str: FP8 has a
    name of its own, INT8 with quantized inputs has the plain one.
    """
    if oracle not in ("unquantized", "fp8", "int8"):
        return None
    device = gpu_name.replace(" ", "_")
    if "H200" in device.split("_"):
        device = "NVIDIA_H200"
    name = f"E={num_experts},N={shard},device_name={device}"
    if oracle == "unquantized" and dtype == "float32":
        return f"{name},dtype=float32"
    if oracle != "fp8" or quant is None:
        return name
    key = quant.weight_key or ""
    blocks = _BLOCKS.search(key)
    sides = (blocks[1], blocks[2]) if blocks else ("128", "128") if "128Block" in key else None
    shape = f",block_shape=[{','.join(sides)}]" if sides else ""
    return f"{name},dtype=fp8_w8a8{shape}"


def ships_tuned_file(name: str, release: Release) -> bool:
    """Whether the release's wheel holds it."""
    held = _spans().get(name)
    return held is not None and held.holds(release)


@lru_cache(maxsize=1)
def _spans() -> dict[str, Span]:
    # importlib.resources takes 6 ms to import, a fiftieth of what `select` may take.
    text = Path(__file__).with_name("tuned_files.txt").read_text("utf-8")
    table: dict[str, Span] = {}
    for line in text.splitlines():
        name, _, bounds = line.rpartition(" ")
        since, _, until = bounds.partition("-")
        table[name] = span(since, until)
    return table
