"""Other implementations of the same quantized layer, called as their engines call them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.fused_moe_details.tiles import Tile
from moe_doctor.kernels.quantized import QuantizedWeights, quantize, scale_grid
from moe_doctor.kernels.schemes import find_scheme
from tests.gpu.layers import Batch, Shape, make_layer

Call = Callable[[Batch], Tensor]

X_SCALE = 0.012
"""Stored scale of the tokens, which are normal: 5.4 is the largest value."""
INNER_SCALE = 0.04
"""Stored scale of the inner activations: 18 is the largest."""


@dataclass(frozen=True)
class QuantizedLayer:
    """Weights of one shape in one scheme."""

    shape: Shape
    scheme: str
    w13: QuantizedWeights
    w2: QuantizedWeights
    bias13: Tensor | None
    bias2: Tensor | None

    @property
    def how(self) -> dict[str, Any]:
        """Keywords of `fused_moe` and of the reference."""
        found: dict[str, Any] = {"activation": self.shape.activation, "gated": self.shape.gated}
        if self.bias13 is not None:
            found.update(bias13=self.bias13, bias2=self.bias2)
        return found


def make_quantized(shape: Shape, name: str) -> QuantizedLayer:
    """Random weights in a scheme; a layer of SwiGLU-OAI has biases."""
    plain, scheme = make_layer(shape), find_scheme(name)
    bias13 = bias2 = None
    if shape.activation == "swigluoai":
        bias13 = torch.zeros_like(plain.w13[:, :, 0]).normal_(0, 0.1).contiguous()
        bias2 = torch.zeros_like(plain.w2[:, :, 0]).normal_(0, 0.1).contiguous()
    scales = (torch.full((1,), value, device="cuda") for value in (X_SCALE, INNER_SCALE))
    return QuantizedLayer(
        shape,
        name,
        quantize(plain.w13, scheme, halves=2 if shape.gated else 1, input_scale=next(scales)),
        quantize(plain.w2, scheme, input_scale=next(scales)),
        bias13,
        bias2,
    )


def make_blank(shape: Shape, name: str) -> QuantizedLayer:
    """The same without values: enough to compile for."""
    scheme = find_scheme(name)
    dtype = {"fp8": torch.float8_e4m3fn, "int8": torch.int8}.get(scheme.weights, torch.uint8)
    scale_dtype = {"int4": torch.bfloat16, "mxfp4": torch.uint8}.get(scheme.weights, torch.float32)
    halves = 2 if shape.gated else 1

    def empty(rows: int, columns: int, halves: int) -> QuantizedWeights:
        count = shape.num_experts
        values = torch.empty(
            count, rows, columns // scheme.values_per_byte, dtype=dtype, device="cuda"
        )
        grid = scale_grid(scheme, rows, columns, halves)
        scales = torch.empty(count, *grid, dtype=scale_dtype, device="cuda")
        static = scheme.activations == "static"
        stored = torch.ones(1, device="cuda") if static else None
        return QuantizedWeights(scheme, values, scales, halves, None, stored)

    w13 = empty(halves * shape.intermediate_size, shape.hidden_size, halves)
    w2 = empty(shape.hidden_size, shape.intermediate_size, 1)
    bias13 = bias2 = None
    if shape.activation == "swigluoai":
        bias13 = torch.zeros(w13.shape[:2], dtype=torch.bfloat16, device="cuda")
        bias2 = torch.zeros(w2.shape[:2], dtype=torch.bfloat16, device="cuda")
    return QuantizedLayer(shape, name, w13, w2, bias13, bias2)


def floor_us(shape: Shape, scheme: str, num_tokens: int, bandwidth: float) -> float:
    """Least time in microseconds by the datasheet; see `Shape.floor_us`."""
    found = find_scheme(scheme)
    pairs = num_tokens * shape.top_k
    touched = shape.num_experts * (1 - (1 - shape.top_k / shape.num_experts) ** num_tokens)
    elements = (3 if shape.gated else 2) * shape.hidden_size * shape.intermediate_size
    read = touched * elements * found.bits / 8 + 4 * num_tokens * shape.hidden_size
    rate = 1979e12 if found.quantizes_activations else 989e12
    return 1e6 * max(read / bandwidth, 2 * pairs * elements / rate)


def ours(layer: QuantizedLayer, tiles: tuple[Tile, Tile] | None = None) -> Call:
    """`moe_doctor.kernels.fused_moe`."""

    def call(batch: Batch) -> Tensor:
        return fused_moe(
            batch.x,
            layer.w13,
            layer.w2,
            batch.topk_weights,
            batch.topk_ids,
            tiles=tiles,
            **layer.how,
        )

    return call


def vllm(layer: QuantizedLayer, tile: dict[str, int] | None = None) -> Call:
    """vLLM 0.20.0's `fused_experts` with Triton, inside `peers.vllm_session`.

    `tile` overrides the tile that it would choose: of its tuned file for this GPU where it ships
    one, else its default. Raises ValueError for a scheme that it has no Triton kernel for.
    """
    from vllm.model_executor.layers.fused_moe import config as configs
    from vllm.model_executor.layers.fused_moe import override_config
    from vllm.model_executor.layers.fused_moe.fused_moe import fused_experts

    w13, w2 = layer.w13, layer.w2
    scales: dict[str, Any] = {"w1_scale": w13.scales, "w2_scale": w2.scales}
    if layer.scheme == "fp8_tensor_static":
        scales = {name: one.flatten() for name, one in scales.items()}
        quant = configs.fp8_w8a8_moe_quant_config(
            **scales, a1_scale=w13.input_scale, a2_scale=w2.input_scale
        )
    elif layer.scheme == "fp8_tensor":
        scales = {name: one.flatten() for name, one in scales.items()}
        quant = configs.fp8_w8a8_moe_quant_config(**scales)
    elif layer.scheme == "fp8_block_128x128":
        quant = configs.fp8_w8a8_moe_quant_config(**scales, block_shape=[128, 128])
    elif layer.scheme == "int8_channel":
        quant = configs.int8_w8a8_moe_quant_config(
            **scales, a1_scale=None, a2_scale=None, per_act_token_quant=True
        )
    elif layer.scheme == "int4_g128":
        quant = configs.int4_w4a16_moe_quant_config(
            **scales, w1_zp=None, w2_zp=None, block_shape=[0, 128]
        )
    else:
        raise ValueError(f"vLLM has no Triton experts for {layer.scheme}")

    def plain(batch: Batch) -> Tensor:
        found: Tensor = fused_experts(
            batch.x, w13.values, w2.values, batch.topk_weights, batch.topk_ids, quant_config=quant
        )
        return found

    def tuned(batch: Batch) -> Tensor:
        with override_config(tile):
            return plain(batch)

    return plain if tile is None else tuned


def vllm_tiles(scheme: str, rows_per_expert: float) -> list[dict[str, int]]:
    """Tiles out of vLLM's own search space (benchmark_moe.py) that suit a batch."""
    if scheme.startswith("int4") and rows_per_expert <= 6:
        return []  # a CUDA kernel runs there (vLLM 0.20 should_moe_wna16_use_cuda)
    if rows_per_expert <= 24:
        rows, columns, stages = (16,), (64, 128), (3, 5)
    elif rows_per_expert <= 100:
        rows, columns, stages = (32, 64), (64, 128), (3,)
    else:
        rows, columns, stages = (64, 128), (128, 256), (3,)
    block, weights_alone = scheme.startswith("fp8_block"), scheme.startswith("int4")
    found = []
    for m in rows:
        for n in columns:
            for count in stages:
                k = 64 if weights_alone else 128
                if count * (m + n) * k > 220 * 1024 or (block and m * n > 64 * 256):
                    continue
                tile = {"BLOCK_SIZE_M": m, "BLOCK_SIZE_N": n, "BLOCK_SIZE_K": k}
                tile["GROUP_SIZE_M"] = 1 if m < 64 else 16
                tile["num_warps"] = 8 if m * n >= 128 * 128 else 4
                found.append({**tile, "num_stages": count, "SPLIT_K": 1})
    return found


def flashinfer(layer: QuantizedLayer, tune: list[Batch]) -> Call:
    """FlashInfer's CUTLASS MoE, autotuned on `tune`; input quantization included."""
    from flashinfer.autotuner import AutoTuner, autotune
    from flashinfer.fused_moe import cutlass_fused_moe
    from flashinfer.fused_moe.core import ActivationType

    w13, w2 = layer.w13, layer.w2
    gate, up = w13.values.view(torch.uint8).chunk(2, dim=1)
    rows = torch.cat((up, gate), dim=1).view(torch.float8_e4m3fn)
    options: dict[str, Any] = {}
    if layer.scheme == "fp8_block_128x128":
        gate, up = w13.scales.chunk(2, dim=1)
        scales = [torch.cat((up, gate), dim=1).contiguous(), w2.scales]
        options["use_deepseek_fp8_block_scale"] = True
    elif layer.scheme == "fp8_tensor_static":
        if w13.input_scale is None or w2.input_scale is None:
            raise TypeError("fp8_tensor_static weights have no stored input scale")
        first, second = w13.input_scale[0], w2.input_scale[0]
        scales = [w13.scales.flatten() * first, 1 / second, w2.scales.flatten() * second, first]
    else:
        raise ValueError(f"FlashInfer CUTLASS is not timed for {layer.scheme}")

    def call(batch: Batch) -> Tensor:
        x = batch.x
        if layer.scheme == "fp8_tensor_static":
            from vllm._custom_ops import scaled_fp8_quant

            x, _ = scaled_fp8_quant(x, w13.input_scale)
        out = torch.empty_like(batch.x)
        cutlass_fused_moe(
            input=x,
            token_selected_experts=batch.topk_ids,
            token_final_scales=batch.topk_weights,
            fc1_expert_weights=rows,
            fc2_expert_weights=w2.values,
            output_dtype=out.dtype,
            quant_scales=scales,
            output=out,
            activation_type=ActivationType.Swiglu,
            tune_max_num_tokens=8192,
            **options,
        )
        return out

    with autotune(True):
        for batch in tune:
            call(batch)
    torch.cuda.synchronize()
    # The tuner swallows errors: without one tuned operation its numbers are the fallback's.
    if layer.scheme == "fp8_tensor_static" and not (
        AutoTuner.get().stats.tuned_op_successful_configs
    ):
        raise RuntimeError("FlashInfer's autotuner tuned nothing")
    return call
