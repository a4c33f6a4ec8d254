"""Tiles of quantized layers on sm_90, as data; `tiles` has the others'.

Measured on an H100 80GB HBM3, 2026-11-23: tests/gpu/compare_quantized.py --tune over Qwen3-30B-A3B,
Mixtral-8x7B, DeepSeek-V3 TP8 and gpt-oss-20b. Kinds of schemes:

    group     8-bit operands, scales by groups of columns: every step's sum is scaled
    whole     8-bit operands, all other scales
    unpacked  4-bit weights, 16-bit activations
"""

from __future__ import annotations

from dataclasses import replace

from moe_doctor.core.named import NamedTuple
from moe_doctor.kernels.fused_moe_details.tiles import Tile, fit
from moe_doctor.kernels.schemes import Scheme


class _Row(NamedTuple):
    """The tiles of one regime."""

    rows_up_to: float
    """Rows per expert, on average."""
    gated: Tile
    """GEMM 1 with gate and up."""
    second: Tile
    """GEMM 2, and GEMM 1 without a gate."""


def _tile(m: int, n: int, k: int, warps: int, stages: int, flags: str = "") -> Tile:
    """A tile from literals; flags: t = weights through TMA, x = rows too, s = swapped, f = fast."""
    tile = Tile(m, n, k, 8 if m >= 64 else 1, warps, stages)
    return replace(
        tile, w_tma="t" in flags, x_tma="x" in flags, swap="s" in flags, fast="f" in flags
    )


_ALL = float("inf")
# Up to 16 tokens and 64 pairs; the first GEMM's columns are narrowed to `_PROGRAMS`.
_FEW_PAIRS = {
    "group": _Row(_ALL, _tile(16, 128, 128, 4, 4, "ts"), _tile(16, 128, 128, 4, 4, "ts")),
    "whole": _Row(_ALL, _tile(16, 128, 128, 4, 4, "ts"), _tile(16, 64, 256, 4, 4, "ts")),
    "unpacked": _Row(_ALL, _tile(16, 64, 128, 4, 4), _tile(16, 64, 256, 4, 3)),
}
# The same where a row of weights is long and few programs share its expert: Mixtral with 4 bits,
# one token, took 256 us with the tiles above and takes 122 with these.
_LONG_ROWS = 4096
_FEW_PAIRS_LONG = {
    **_FEW_PAIRS,
    "unpacked": _Row(_ALL, _tile(16, 32, 256, 4, 4, "s"), _tile(16, 64, 512, 4, 5)),
}
# Up to 16 tokens.
_FEW_TOKENS = {
    "group": (_Row(_ALL, _tile(32, 128, 128, 4, 4, "ts"), _tile(32, 64, 128, 4, 4, "ts")),),
    "whole": (
        _Row(2, _tile(32, 64, 128, 4, 4, "ts"), _tile(32, 64, 128, 4, 4, "ts")),
        _Row(_ALL, _tile(16, 128, 256, 4, 4, "ts"), _tile(16, 64, 256, 4, 4, "ts")),
    ),
    "unpacked": (_Row(_ALL, _tile(16, 64, 128, 4, 4), _tile(16, 64, 256, 4, 4)),),
}
_TABLE = {
    "group": (
        _Row(6, _tile(16, 64, 128, 4, 6, "ts"), _tile(16, 64, 128, 4, 4, "ts")),
        _Row(10, _tile(16, 32, 128, 4, 6, "ts"), _tile(16, 128, 128, 4, 4, "ts")),
        _Row(40, _tile(32, 64, 128, 4, 5, "ts"), _tile(32, 128, 128, 4, 3, "ts")),
        _Row(_ALL, _tile(64, 64, 128, 4, 3, "tx"), _tile(64, 128, 128, 4, 3, "tx")),
    ),
    "whole": (
        _Row(10, _tile(16, 32, 256, 4, 4, "ts"), _tile(16, 64, 128, 4, 4, "ts")),
        _Row(40, _tile(32, 64, 128, 4, 5, "ts"), _tile(32, 64, 128, 4, 3, "ts")),
        _Row(100, _tile(128, 64, 128, 8, 3, "txf"), _tile(128, 128, 128, 8, 3, "txf")),
        _Row(_ALL, _tile(128, 128, 128, 8, 4, "txf"), _tile(128, 256, 128, 8, 4, "txf")),
    ),
    "unpacked": (
        _Row(12, _tile(16, 64, 256, 4, 4), _tile(16, 64, 256, 4, 4)),
        _Row(24, _tile(32, 64, 64, 4, 4, "s"), _tile(32, 64, 64, 4, 4, "s")),
        _Row(100, _tile(64, 64, 64, 4, 4, "s"), _tile(64, 64, 64, 4, 4, "s")),
        _Row(_ALL, _tile(128, 64, 64, 8, 3), _tile(128, 128, 64, 8, 3)),
    ),
}
_FEWEST_PAIRS = 64
_PROGRAMS = 128
"""About one for every multiprocessor."""


def kind_of(scheme: Scheme) -> str | None:
    """Kind of the scheme, by the module's table; None where it has no tiles here."""
    if scheme.quantizes_activations:
        return "group" if scheme.activations == "group" else "whole"
    return "unpacked" if scheme.bits == 4 else None


def choose_quantized_tiles(
    kind: str,
    num_pairs: int,
    num_experts: int,
    columns: int,
    *,
    few_tokens: bool,
    gated: bool,
    limit_bytes: int,
) -> tuple[Tile, Tile]:
    """Tiles of GEMM 1 and GEMM 2; `columns` is the intermediate size."""
    rows = num_pairs / min(num_experts, num_pairs)
    if few_tokens and rows < 2 and num_pairs <= _FEWEST_PAIRS:
        row = (_FEW_PAIRS_LONG if columns >= _LONG_ROWS else _FEW_PAIRS)[kind]
    else:
        table = (_FEW_TOKENS if few_tokens else _TABLE)[kind]
        row = next(row for row in table if rows <= row.rows_up_to)
    first = row.gated if gated else row.second
    if few_tokens and first.swap:
        while first.block_n > 32 and num_pairs * -(-columns // first.block_n) < _PROGRAMS:
            first = replace(first, block_n=first.block_n // 2)
    if not gated and first.swap:
        # wgmma has 64 rows of weights at least.
        first = replace(first, block_n=max(64, first.block_n))
    row_bytes, weight_bytes = (2, 0.5) if kind == "unpacked" else (1, 1)
    return (
        fit(first, gated, row_bytes, limit_bytes, weight_bytes),
        fit(row.second, False, row_bytes, limit_bytes, weight_bytes),
    )
