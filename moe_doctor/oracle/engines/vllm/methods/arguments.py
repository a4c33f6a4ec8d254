"""QuantizationArgs of the compressed-tensors package: one side of a scheme, with its defaults.

The strategy follows from the group size where it is not named, as the package's validators do it
(compressed_tensors/quantization/quant_args.py, 0.13 to 0.17).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.named import NamedTuple


class Arguments(NamedTuple):
    """How one side (weights or inputs) is quantized."""

    num_bits: int = 8
    """Bits of a value."""
    type: str = "int"
    """`int` or `float`."""
    strategy: str = "tensor"
    """`tensor`, `channel`, `group`, `block`, `token`, `tensor_group`."""
    group_size: int | None = None
    """Values per scale; None = the strategy says it."""
    symmetric: bool = True
    """Whether there are no zero points."""
    dynamic: bool = False
    """Whether scales are computed while serving (`local` counts)."""
    block: tuple[int, int] | None = None
    """Rows and columns of a block."""
    actorder: str | None = None
    """Activation ordering."""
    scale_dtype: str | None = None
    """Dtype of the scales, without `torch.`."""

    @property
    def is_mxfp4(self) -> bool:
        """Whether these are 4-bit floats in groups of 32."""
        shape = self.strategy == "group" and self.group_size == 32 and self.num_bits == 4
        return shape and self.symmetric and self.type == "float"

    @property
    def is_mxfp8(self) -> bool:
        """Whether these are 8-bit floats in groups of 32 with power-of-two scales."""
        shape = self.strategy == "group" and self.group_size == 32 and self.num_bits == 8
        floats = self.symmetric and self.type == "float"
        return shape and floats and self.scale_dtype == "uint8"

    @property
    def is_nvfp4(self) -> bool:
        """Whether these are 4-bit floats in groups of 16 with a second scale per tensor."""
        shape = self.strategy == "tensor_group" and self.group_size == 16 and self.num_bits == 4
        return shape and self.symmetric and self.type == "float"

    @property
    def reorders_groups(self) -> bool:
        """Whether columns are reordered across groups."""
        return self.strategy == "group" and self.actorder in ("group", "dynamic")


def read_arguments(raw: object) -> Arguments | None:
    """Arguments as declared; None for a side that is not quantized."""
    if not isinstance(raw, Mapping):
        return None
    group = raw.get("group_size")
    group = (
        int(group) if isinstance(group, (int, str)) and str(group).lstrip("-").isdigit() else None
    )
    dynamic = raw.get("dynamic")
    scale = raw.get("scale_dtype")
    block = raw.get("block_structure")
    return Arguments(
        num_bits=int(raw.get("num_bits") or 8),
        type=str(raw.get("type") or "int").lower(),
        strategy=_strategy(raw, group),
        group_size=group,
        symmetric=bool(raw.get("symmetric", True)),
        dynamic=bool(dynamic),
        block=_block(block),
        actorder=_order(raw.get("actorder")),
        scale_dtype=str(scale).removeprefix("torch.") if scale else None,
    )


def _strategy(raw: Mapping[str, Any], group: int | None) -> str:
    named = raw.get("strategy")
    if isinstance(named, str):
        return named.lower()
    if group is None:
        return "token" if raw.get("dynamic") is True else "tensor"
    return "group" if group > 0 else "channel"


def _block(raw: object) -> tuple[int, int] | None:
    if isinstance(raw, str):
        sides = raw.lower().split("x")
        if len(sides) != 2 or not all(side.strip().isdigit() for side in sides):
            return None
        return int(sides[0]), int(sides[1])
    if isinstance(raw, (list, tuple)) and len(raw) == 2:
        return int(raw[0]), int(raw[1])
    return None


def _order(raw: object) -> str | None:
    if isinstance(raw, bool):
        return "group" if raw else None
    return raw.lower() if isinstance(raw, str) else None
