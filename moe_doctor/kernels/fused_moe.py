"""Fused MoE in Triton: align, grouped GEMM with activation, grouped GEMM with weight, reduce.

    topk_ids -> align -> [shrink] -> GEMM 1 + LoRA + activation -> [shrink] -> GEMM 2 + LoRA -> sum

Quantized weights go through a GEMM of their own (`quantized_gemm`), which may quantize rows first.
Plain weights without adapters have two shorter ways: one or two tokens by products of a matrix and
a vector (`gemv_layer`), and 16-bit layers without biases on sm_90 (`hopper_layer`).
Everything runs on the device and nothing waits for it, so a CUDA graph can capture the call. On a
machine without a GPU the same kernels run in Triton's interpreter: TRITON_INTERPRET=1 must be set
before triton is imported, and bfloat16 gives wrong numbers there because numpy has no such type.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import triton
from torch import Tensor

from moe_doctor.kernels.activations import Activation, resolve
from moe_doctor.kernels.fused_moe_details._align import Alignment, align
from moe_doctor.kernels.fused_moe_details._gemm import grouped_gemm_kernel
from moe_doctor.kernels.fused_moe_details._quantize_rows import measure_rows
from moe_doctor.kernels.fused_moe_details._reduce import reduce_pairs
from moe_doctor.kernels.fused_moe_details._shrink import lora_shrink_kernel
from moe_doctor.kernels.fused_moe_details.checks import check_layer
from moe_doctor.kernels.fused_moe_details.eight_bit_gemm import quantized_inner
from moe_doctor.kernels.fused_moe_details.gemv_layer import fits_gemv, gemv_layer
from moe_doctor.kernels.fused_moe_details.hopper import describe, fits_tma, has_tma
from moe_doctor.kernels.fused_moe_details.hopper_layer import fits_hopper, hopper_layer
from moe_doctor.kernels.fused_moe_details.launch import (
    MeasuredRows,
    QuantizedRows,
    Rows,
    Step,
    launch_options,
    lora_block,
    precision,
)
from moe_doctor.kernels.fused_moe_details.quantized_gemm import (
    fit_for,
    quantized_gemm,
    tiles_kind,
)
from moe_doctor.kernels.fused_moe_details.quantized_tiles import choose_quantized_tiles
from moe_doctor.kernels.fused_moe_details.tiles import Tile, choose_tiles, interpreter_tile
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.quantized import QuantizedWeights, unquantized

DIRECT_TOKENS = 16
"""Most tokens of a batch whose GEMMs read the routing themselves, without an alignment."""


def fused_moe(
    hidden_states: Tensor,  # [T, H]
    w13: Tensor | QuantizedWeights,  # [E, 2I, H] gate rows then up rows; [E, I, H] when not gated
    w2: Tensor | QuantizedWeights,  # [E, H, I]
    topk_weights: Tensor,  # [T, k] float32
    topk_ids: Tensor,  # [T, k] int32; entries outside 0..E-1 contribute nothing
    *,
    activation: str = "silu",
    gated: bool = True,
    limit: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    bias13: Tensor | None = None,  # [E, 2I or I]
    bias2: Tensor | None = None,  # [E, H]
    lora: LoRAWeights | None = None,
    out: Tensor | None = None,  # [T, H]
    tiles: tuple[Tile, Tile] | None = None,
) -> Tensor:  # [T, H], dtype of hidden_states
    """Return sum over slots of weight * w2[e] @ act(w13[e] @ x), with adapters where given.

    `limit`, `alpha` and `beta` are the numbers of a gated activation (see `activations.resolve`).
    `tiles` overrides the table's choice for the two GEMMs, and rules out the shorter ways; both
    need the same block_m. Raises ValueError, naming the argument and both shapes, for anything that
    does not fit.
    """
    act = resolve(activation, gated, limit, alpha, beta)
    check_layer(hidden_states, w13, w2, topk_weights, topk_ids, act, bias13, bias2)
    if hidden_states.device.type == "cpu" and not is_interpreted():
        raise ValueError(
            "hidden_states is on the CPU; set TRITON_INTERPRET=1 before triton is imported"
        )
    num_tokens, hidden_size = hidden_states.shape
    num_experts, _, intermediate_size = w2.shape
    top_k = topk_ids.shape[1]
    if lora is not None:
        lora.check(num_tokens, w13, w2, hidden_states.dtype)
    if out is None:
        out = torch.empty_like(hidden_states, memory_format=torch.contiguous_format)
    elif out.shape != hidden_states.shape or out.stride(1) != 1:
        raise ValueError(
            f"out has shape {tuple(out.shape)} and strides {out.stride()}; "
            f"expected {tuple(hidden_states.shape)} with dense rows"
        )
    if num_tokens == 0:
        return out
    topk_ids = topk_ids.to(torch.int32).contiguous()
    topk_weights = topk_weights.to(torch.float32).contiguous()

    if lora is None and tiles is None and isinstance(w13, Tensor) and isinstance(w2, Tensor):
        layer = (hidden_states, w13, w2, topk_weights, topk_ids, act, out)
        if fits_gemv(hidden_states, w13, w2, num_tokens * top_k):
            pdl = _has_pdl(hidden_states.device)
            return gemv_layer(*layer, bias13=bias13, bias2=bias2, pdl=pdl)
        if bias13 is None and bias2 is None and fits_hopper(hidden_states, w13, w2, act):
            return hopper_layer(*layer)
    first, second = tiles or _tiles(hidden_states, w2, num_tokens * top_k, gated)
    if isinstance(w13, QuantizedWeights):
        first = fit_for(first, w13, hidden_states, gated)
    if isinstance(w2, QuantizedWeights):
        second = fit_for(second, w2, hidden_states, gated=False)
    direct = lora is None and num_tokens <= first.block_m == second.block_m <= DIRECT_TOKENS
    alignment = None
    if not direct:
        alignment = align(
            topk_ids,
            None if lora is None else lora.lora_ids.to(torch.int32).contiguous(),
            num_experts=num_experts,
            max_loras=0 if lora is None else lora.max_loras,
            block_m=first.block_m,
            pdl=_has_pdl(hidden_states.device),
        )
    batch = _Batch(topk_ids, topk_weights, alignment, num_experts, hidden_states)
    x: Tensor | MeasuredRows = hidden_states
    inner: Tensor | QuantizedRows | MeasuredRows | None = None  # [T*k, I]
    if isinstance(w13, QuantizedWeights) and isinstance(w2, QuantizedWeights) and lora is None:
        inner = batch.quantized_inner(w13, w2, first)
    if inner is None:
        inner = batch.empty(intermediate_size)
    if _has_one_scale(w13) and _has_one_scale(w2):
        # The largest value so far, of the tokens and of the inner rows.
        largest = torch.zeros(2, dtype=torch.int32, device=hidden_states.device)
        x = measure_rows(hidden_states, largest[:1], pdl=batch.pdl)
        inner = MeasuredRows(batch.empty(intermediate_size), largest[1:])
    batch.gemm(
        x,
        w13,
        inner,
        first,
        is_first=True,
        act=act,
        bias=bias13,
        adapters=None if lora is None else (lora.a13, lora.b13, lora.scaling),
    )
    pairs = batch.empty(hidden_size)  # [T*k, H]
    batch.gemm(
        inner,
        w2,
        pairs,
        second,
        is_first=False,
        act=Activation("none", gated=False),
        bias=bias2,
        adapters=None if lora is None else (lora.a2, lora.b2, lora.scaling),
    )
    reduce_pairs(pairs, topk_ids, out, num_experts, pdl=batch.pdl)
    return out


def is_interpreted() -> bool:
    """Whether kernels of this process run in Triton's interpreter instead of on a GPU."""
    return os.environ.get("TRITON_INTERPRET", "0") not in ("", "0")


def _has_pdl(device: torch.device) -> bool:
    """Whether a kernel may be launched before the one before it ends (sm_90 and newer)."""
    return not is_interpreted() and has_tma(device)


@dataclass(frozen=True, slots=True)
class _Batch:
    """What both GEMMs of one call share."""

    topk_ids: Tensor
    topk_weights: Tensor
    alignment: Alignment | None
    num_experts: int
    like: Tensor

    @property
    def pdl(self) -> bool:
        """Whether a kernel may be launched before the one before it ends."""
        return _has_pdl(self.like.device)

    def empty(self, width: int) -> Tensor:
        """[T * k, width], unwritten."""
        return self.like.new_empty(self.topk_ids.numel(), width)

    def quantized_inner(
        self, w13: QuantizedWeights, w2: QuantizedWeights, first: Tile
    ) -> QuantizedRows | None:
        """Inner activations that the first GEMM hands over quantized, where it can."""
        if w13.scheme != w2.scheme or not w2.scheme.quantizes_activations:
            return None
        return quantized_inner(
            self.like, w2, self.topk_ids.numel(), first.block_n, direct=self.alignment is None
        )

    def gemm(
        self,
        x: Tensor | QuantizedRows | MeasuredRows,
        w: Tensor | QuantizedWeights,
        out: Tensor | QuantizedRows | MeasuredRows,
        tile: Tile,
        *,
        is_first: bool,
        act: Activation,
        bias: Tensor | None,
        adapters: tuple[Tensor, Tensor, Tensor] | None = None,
    ) -> None:
        """One grouped GEMM, with its adapters' shrink before it."""
        rank, lora_b, shrunk = 0, self.like, self.like
        strides: tuple[int, ...] = (0, 0, 0, 0)
        plain = x.values if isinstance(x, MeasuredRows) else x
        if adapters is not None and isinstance(plain, Tensor):
            rank, lora_b, strides = adapters[0].shape[2], adapters[1], adapters[1].stride()
            shrunk = self._shrink(plain, adapters[0], adapters[2], tile, is_first)
        where, max_tiles = self._where()
        rows = Rows(
            self.topk_ids,
            self.topk_weights,
            where,
            max_tiles,
            self.num_experts,
            direct=self.alignment is None,
            pdl=self.pdl,
        )
        step = Step(is_first, act, bias)
        if bias is not None or act != Activation(act.name, act.gated):
            w = unquantized(w) if isinstance(w, Tensor) else w
        if isinstance(w, QuantizedWeights):
            fitted = fit_for(tile, w, self.like, act.gated)
            adapter = None if adapters is None else (shrunk, lora_b)
            quantized_gemm(rows, x, w, out, fitted, step, adapter, like=self.like)
            return
        if not isinstance(x, Tensor) or not isinstance(out, Tensor):
            raise TypeError("plain weights have 16- or 32-bit rows; quantized ones were given")
        width, depth = out.shape[1], x.shape[1]
        x_tma = tile.x_tma and not is_first and self.alignment is not None and fits_tma(x)
        w_tma = tile.w_tma and fits_tma(w)
        grouped_gemm_kernel[(max_tiles * triton.cdiv(width, tile.block_n),)](
            describe(x, [tile.block_m, tile.block_k]) if x_tma else x,
            describe(w.flatten(0, 1), [tile.block_n, tile.block_k]) if w_tma else w,
            out,
            self.topk_ids,
            *where,
            self.topk_weights,
            shrunk,
            lora_b,
            self.topk_ids.numel(),
            max_tiles,
            self.num_experts,
            width,
            *x.stride(),
            *w.stride(),
            *strides,
            X_TMA=x_tma,
            W_TMA=w_tma,
            EVEN_K=depth % tile.block_k == 0,
            **launch_options(rows, step, tile, depth=depth, rank=rank, dtype=self.like.dtype),
        )

    def _where(self) -> tuple[tuple[Tensor, Tensor, Tensor], int]:
        """Sorted pairs, tiles and their number; without an alignment every pair is a tile."""
        if self.alignment is None:
            return (self.topk_ids, self.topk_ids, self.topk_ids), self.topk_ids.numel()
        found = self.alignment
        return (found.sorted_pairs, found.tiles, found.num_tiles), found.max_tiles

    def _shrink(self, x: Tensor, a: Tensor, scaling: Tensor, tile: Tile, is_first: bool) -> Tensor:
        where, max_tiles = self._where()
        rank, depth = a.shape[2], a.shape[3]
        # Rows without an adapter stay unwritten: the expand step never reads them.
        shrunk = self.empty(rank)
        block_r = lora_block(rank)
        lora_shrink_kernel[(max_tiles, triton.cdiv(rank, block_r))](
            x,
            a,
            scaling,
            shrunk,
            *where,
            max_tiles,
            self.num_experts,
            *x.stride(),
            *a.stride(),
            R=rank,
            K=depth,
            TOP_K=self.topk_ids.shape[1],
            FIRST=is_first,
            PRECISION=precision(self.like.dtype),
            BLOCK_M=tile.block_m,
            BLOCK_R=block_r,
            BLOCK_K=tile.block_k,
            num_warps=4,
            num_stages=2,
        )
        return shrunk


def _has_one_scale(w: Tensor | QuantizedWeights) -> bool:
    """Whether all rows of activations share a scale that they make themselves."""
    return isinstance(w, QuantizedWeights) and w.scheme.activations == "tensor"


def _tiles(
    x: Tensor, w2: Tensor | QuantizedWeights, num_pairs: int, gated: bool
) -> tuple[Tile, Tile]:
    """Tiles of GEMM 1 and GEMM 2; both have the same block_m, that of the alignment."""
    num_experts, hidden_size, intermediate_size = w2.shape
    if x.device.type == "cpu":
        return (
            interpreter_tile(intermediate_size, hidden_size),
            interpreter_tile(hidden_size, intermediate_size),
        )
    few_tokens = x.shape[0] <= DIRECT_TOKENS
    limit = _shared_memory_limit(x.device)
    kind = tiles_kind(x, w2) if isinstance(w2, QuantizedWeights) else None
    if kind is not None and limit is not None:
        return choose_quantized_tiles(
            kind,
            num_pairs,
            num_experts,
            intermediate_size,
            few_tokens=few_tokens,
            gated=gated,
            limit_bytes=limit,
        )
    return choose_tiles(
        num_pairs / min(num_experts, num_pairs),
        few_tokens=few_tokens,
        gated=gated,
        element_bytes=x.element_size(),
        limit_bytes=limit,
    )


def _shared_memory_limit(device: torch.device) -> int | None:
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip is not None:
        return None
    limit = getattr(properties, "shared_memory_per_block_optin", None)
    return None if limit is None else int(limit)
