from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import triton
import triton.language as tl

from moe_doctor.kernels.e2m1 import decode, encode
from moe_doctor.kernels.fused_moe import fused_moe
from moe_doctor.kernels.fused_moe_details._decode import (
    decode_e2m1,
    decode_e4m3,
    decode_e8m0,
    encode_e4m3,
)
from moe_doctor.kernels.fused_moe_details._quantize_rows import quantize_rows
from moe_doctor.kernels.fused_moe_details.eight_bit_gemm import has_native_fp8
from moe_doctor.kernels.fused_moe_details.quantized_gemm import fit_tile
from moe_doctor.kernels.fused_moe_details.tiles import Tile
from moe_doctor.kernels.quantized import QuantizedWeights, quantize, requantize_rows, unquantized
from moe_doctor.kernels.reference import fused_moe_reference
from moe_doctor.kernels.schemes import find_scheme
from tests.kernels.layer import Layer, make_layer, make_lora, relative_error

SCHEMES = (
    "fp8_tensor_static",
    "fp8_tensor",
    "fp8_tensor_token",
    "fp8_channel",
    "fp8_block_128x128",
    "fp8_block_32x32",
    "int8_channel",
    "int8_weight_channel",
    "int8_weight_g32",
    "int4_channel",
    "int4_g32",
    "int4_g128_zeros",
    "mxfp4",
    "nvfp4",
)
LIMIT = 2e-3
"""Four roundings of fp16; with quantized activations a few values fall into the next step."""


def quantized(layer: Layer, name: str) -> tuple[QuantizedWeights, QuantizedWeights]:
    scheme, scale = find_scheme(name), torch.full((1,), 0.01, device=layer.x.device)
    halves = layer.w13.shape[1] // layer.w2.shape[2]
    return (
        quantize(layer.w13, scheme, halves=halves, input_scale=scale),
        quantize(layer.w2, scheme, input_scale=scale),
    )


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_with_biases_and_adapters_matches_the_reference(
    device: torch.device, name: str
) -> None:
    layer = make_layer(device, torch.float16, tokens=3)
    generator = torch.Generator().manual_seed(1)
    how = {
        "bias13": torch.randn(4, 80, generator=generator).half().to(device),
        "bias2": torch.randn(4, 72, generator=generator).half().to(device),
        "lora": make_lora(layer, [-1, 0, 1]),
        "activation": "swigluoai",
        "limit": 1.0,
    }
    args = (*quantized(layer, name), layer.weights, layer.ids)
    wanted = fused_moe_reference(layer.x, *args, **how)
    assert relative_error(fused_moe(layer.x, *args, **how), wanted) < LIMIT


@pytest.mark.parametrize(
    "name", ["fp8_tensor", "fp8_block_32x32", "int8_channel", "int4_g32", "nvfp4"]
)
@pytest.mark.parametrize("tokens", [2, 20])
def test_few_and_many_tokens_match_the_reference(
    device: torch.device, name: str, tokens: int
) -> None:
    layer = make_layer(device, torch.float16, tokens=tokens)
    layer.ids[0, 0] = 9  # an expert of another rank
    args = (*quantized(layer, name), layer.weights, layer.ids)
    wanted = fused_moe_reference(layer.x, *args)
    assert relative_error(fused_moe(layer.x, *args), wanted) < LIMIT


@pytest.mark.parametrize(
    "name",
    ["fp8_tensor_static", "fp8_tensor", "fp8_block_128x128", "int8_channel", "int4_g128", "mxfp4"],
)
@pytest.mark.parametrize(
    ("tokens", "tile"),
    [
        (5, Tile(16, 32, 128, 1, 4, 4, w_tma=True, swap=True)),
        (17, Tile(32, 128, 128, 1, 4, 3, w_tma=True, swap=True)),
        (17, Tile(64, 64, 128, 8, 4, 3, w_tma=True, x_tma=True)),
        (17, Tile(128, 128, 128, 8, 8, 3, w_tma=True, x_tma=True, fast=True)),
    ],
)
def test_tiles_of_every_sort_match_the_reference(
    device: torch.device, name: str, tokens: int, tile: Tile
) -> None:
    layer = make_layer(
        device, torch.float16, tokens=tokens, experts=2, top_k=1, hidden=256, inner=128
    )
    args = (*quantized(layer, name), layer.weights, layer.ids)
    second = replace(tile, block_n=max(64, tile.block_n))
    got = fused_moe(layer.x, *args, tiles=(tile, second))
    # With sums of 14 bits more values fall into the next step, all of them where the largest does.
    assert relative_error(got, fused_moe_reference(layer.x, *args)) < 2e-2


def test_a_non_gated_layer_in_fp32_is_unpacked_exactly(device: torch.device) -> None:
    layer = make_layer(device, torch.float32, tokens=3, gated=False)
    args = (*quantized(layer, "int4_g32_zeros"), layer.weights, layer.ids)
    how = {"activation": "relu2", "gated": False}
    wanted = fused_moe_reference(layer.x, *args, **how)
    assert relative_error(fused_moe(layer.x, *args, **how), wanted) < 2e-6


def test_plain_weights_take_a_bias_and_a_clamp(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=3)
    args = (layer.w13, layer.w2, layer.weights, layer.ids)
    how = {"bias13": layer.x.new_ones(4, 80), "limit": 0.5}
    got = fused_moe(layer.x, *args, **how)
    assert relative_error(got, fused_moe_reference(layer.x, *args, **how)) < LIMIT
    assert relative_error(got, fused_moe_reference(layer.x, *args)) > 0.1


@pytest.mark.parametrize("name", SCHEMES)
def test_zero_groups_and_zero_tokens_stay_zero(device: torch.device, name: str) -> None:
    layer = make_layer(device, torch.float16, tokens=2)
    layer.w13[:, :40] = 0
    layer.x[0] = 0
    w13, w2 = quantized(layer, name)
    assert w13.expert(1)[:40].abs().max() == 0
    got = fused_moe(layer.x, w13, w2, layer.weights, layer.ids)
    assert got.abs().max() == 0


@pytest.mark.parametrize(
    ("name", "largest"),
    [
        ("fp8_tensor", 0.04),
        ("fp8_channel", 0.04),
        ("fp8_block_128x128", 0.04),
        ("int8_channel", 0.01),
        ("int8_weight_g32", 0.01),
        ("int4_g32", 0.11),
        ("int4_g32_zeros", 0.1),
        ("mxfp4", 0.14),
        ("nvfp4", 0.11),
    ],
)
def test_quantizing_loses_no_more_than_the_format_must(name: str, largest: float) -> None:
    weights = torch.randn(1, 64, 96, generator=torch.Generator().manual_seed(2)).half()
    made = quantize(weights, find_scheme(name), halves=2)
    assert 0 < relative_error(made.expert(0), weights[0]) < largest


def test_four_bit_columns_share_a_byte_low_half_first() -> None:
    weights = torch.tensor([[[1.0, -7.0, 7.0, 0.0]]])
    made = quantize(weights, find_scheme("int4_channel"))
    assert made.values.tolist() == [[[0x19, 0x8F]]]
    assert made.scales.item() == 1.0
    assert made.shape == (1, 1, 4)


def test_mxfp4_scales_are_exponents() -> None:
    weights = torch.tensor([[[6.0, -0.5, 3.0, 0.0]]])
    made = quantize(weights, find_scheme("mxfp4"))
    assert made.scales.tolist() == [[[127]]]
    assert made.values.tolist() == [[[0x97, 0x05]]]
    assert torch.equal(made.expert(0), weights[0])


def test_nvfp4_has_a_scale_per_sixteen_columns_and_one_per_expert() -> None:
    weights = torch.zeros(2, 1, 32)
    weights[:, 0, :3] = torch.tensor([6.0, -0.5, 3.0])
    weights[:, 0, 16] = 6 * 448.0
    weights[1] *= 4
    made = quantize(weights, find_scheme("nvfp4"))
    assert made.expert_scales is not None
    assert made.expert_scales.tolist() == [1.0, 4.0]
    assert made.scales.float().tolist() == [[[1.0, 448.0]]] * 2
    assert made.values[0, 0, :2].tolist() == [0x97, 0x05]
    assert torch.equal(torch.stack([made.expert(0), made.expert(1)]), weights)
    with pytest.raises(ValueError, match=r"w2.expert_scales is missing; nvfp4 needs \(2,\)"):
        replace(made, expert_scales=None).check("w2")


def test_four_bit_floats_are_rounded_to_the_nearest_ties_to_even() -> None:
    values = torch.tensor([0.25, 0.26, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, 9.0, -0.75])
    wanted = [0.0, 0.5, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, 6.0, -1.0]
    assert decode(encode(values)).tolist() == wanted


def test_nvfp4_activations_are_quantized_by_their_stored_scale() -> None:
    scheme = replace(find_scheme("nvfp4"), activations="nvfp4")
    rows = torch.tensor([[1.0, -6.0, *[0.0] * 14, 6 * 448.0, 1e9, *[0.0] * 14]])
    wanted = rows.clone()
    wanted[0, 17] = 6 * 448.0  # beyond what the scale was made for
    assert torch.equal(requantize_rows(rows, scheme, torch.ones(1)), wanted)


def test_blocks_do_not_straddle_gate_and_up() -> None:
    weights = torch.ones(1, 2 * 40, 16)
    weights[0, 40:] = 3.0
    made = quantize(weights, find_scheme("fp8_block_32x32"), halves=2)
    assert made.scales.shape == (1, 4, 1)
    assert (made.scales[0, :, 0] * 448).tolist() == pytest.approx([1, 1, 3, 3])
    assert torch.equal(made.expert(0), weights[0])


@triton.jit
def _decode_kernel(codes, e4m3, e2m1, e8m0):
    index = tl.arange(0, 256)
    code = tl.load(codes + index)
    tl.store(e4m3 + index, decode_e4m3(code))
    tl.store(e2m1 + index, decode_e2m1(code & 15))
    tl.store(e8m0 + index, decode_e8m0(code))


@triton.jit
def _encode_kernel(values, codes, SIZE: tl.constexpr):
    index = tl.arange(0, SIZE)
    tl.store(codes + index, encode_e4m3(tl.load(values + index)))


def test_every_code_of_every_small_format_is_decoded(device: torch.device) -> None:
    codes = torch.arange(256, dtype=torch.uint8, device=device)
    e4m3 = torch.empty(256, dtype=torch.float16, device=device)
    e2m1, e8m0 = (torch.empty(256, device=device) for _ in range(2))
    _decode_kernel[(1,)](codes, e4m3, e2m1, e8m0)
    wanted = codes.view(torch.float8_e4m3fn).half()
    finite = wanted.isfinite()
    assert torch.equal(e4m3[finite], wanted[finite])
    halves = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]
    assert e2m1[:16].tolist() == halves + [-value for value in halves]
    assert torch.equal(e8m0[1:255], torch.exp2(codes[1:255].float() - 127))


def test_values_are_encoded_as_torch_does_ties_to_even(device: torch.device) -> None:
    grid = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    middles = (grid[1:] + grid[:-1]) / 2
    values = torch.cat((grid, middles, middles * 1.0001, middles * 0.9999, torch.zeros(7)))
    values = torch.cat((values, -values)).to(device)
    codes = torch.empty(1024, dtype=torch.uint8, device=device)
    padded = torch.nn.functional.pad(values, (0, 1024 - values.numel()))
    _encode_kernel[(1,)](padded, codes, SIZE=1024)
    wanted = padded.to(torch.float8_e4m3fn).view(torch.uint8)
    assert torch.equal(codes, wanted)


@pytest.mark.parametrize(
    "name", ["fp8_tensor_static", "fp8_tensor", "fp8_channel", "fp8_block_32x32", "int8_channel"]
)
def test_rows_are_quantized_as_the_reference_does(device: torch.device, name: str) -> None:
    scheme = find_scheme(name)
    x = torch.randn(3, 72, generator=torch.Generator().manual_seed(3)).half().to(device)
    x[1] = 0
    x[2, 0] = 100.0  # beyond a stored scale of 0.01 * 448
    stored = torch.full((1,), 0.01, device=device) if scheme.activations == "static" else None
    native = has_native_fp8(device)
    values, scales = quantize_rows(x, scheme, stored, native_fp8=native)
    codes = values if values.dtype == torch.int8 else values.view(torch.float8_e4m3fn)
    spread = scales.repeat_interleave(scheme.group_k or 72, 1)[:, :72]
    assert torch.equal(codes.float() * spread, requantize_rows(x.float(), scheme, stored))


def test_swiglu_oai_is_what_its_name_says() -> None:
    layer = make_layer(torch.device("cpu"), torch.float32, tokens=2, experts=2, top_k=1)
    weights, ids = torch.ones(2, 1), torch.zeros(2, 1, dtype=torch.int32)
    gate, up = (4 * layer.x @ layer.w13[0].T).chunk(2, dim=-1)
    gate, up = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
    wanted = (gate * torch.sigmoid(1.702 * gate) * (up + 1)) @ layer.w2[0].T
    got = fused_moe_reference(
        layer.x, 4 * layer.w13, layer.w2, weights, ids, activation="swigluoai"
    )
    assert relative_error(got, wanted) < 1e-6


def test_a_step_stays_within_a_group_of_activations() -> None:
    tile = Tile(128, 256, 64, 8, 8, 4, w_tma=True, swap=True)
    assert fit_tile(tile, find_scheme("fp8_block_64x64"), gated=False, wide=True) == Tile(
        128, 64, 64, 8, 8, 4
    )
    assert fit_tile(tile, find_scheme("fp8_channel"), gated=False, wide=True) == Tile(
        128, 128, 128, 8, 8, 4
    )
    assert fit_tile(tile, find_scheme("int4_g32"), gated=True, wide=False).block_n == 64


def test_records_name_what_does_not_fit() -> None:
    weights = torch.randn(2, 8, 64)
    made = quantize(weights, find_scheme("int4_g32"))
    with pytest.raises(ValueError, match=r"w13.scales has shape \(2, 8, 1\); expected \(2, 8, 2\)"):
        replace(made, scales=made.scales[:, :, :1]).check("w13")
    with pytest.raises(ValueError, match=r"w2.values is torch.int8; expected torch.uint8"):
        replace(made, values=made.values.view(torch.int8)).check("w2")
    static = quantize(weights, find_scheme("fp8_tensor_static"))
    with pytest.raises(ValueError, match=r"w2\.input_scale is missing"):
        static.check("w2")
    with pytest.raises(ValueError, match="K is 3; two 4-bit values share a byte"):
        quantize(torch.randn(1, 2, 3), find_scheme("mxfp4"))
    assert unquantized(weights).shape == (2, 8, 64)


def test_numbers_without_a_gate_are_refused(device: torch.device) -> None:
    layer = make_layer(device, torch.float16, tokens=2, gated=False)
    args = (layer.x, layer.w13, layer.w2, layer.weights, layer.ids)
    with pytest.raises(ValueError, match="activation is relu2 without a gate; limit, alpha and"):
        fused_moe(*args, activation="relu2", gated=False, limit=7.0)
