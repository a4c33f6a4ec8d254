"""The batched activation format: rows that are not in use hold NaN and reach no result."""

from __future__ import annotations

import torch

from moe_doctor.kernels.batched import batched_moe, combine, dispatch, lora_of_rows
from moe_doctor.kernels.lora import LoRAWeights
from moe_doctor.kernels.reference import fused_moe_reference

IDS = torch.tensor([[0, 2], [2, -1], [1, 2]], dtype=torch.int32)


def test_each_expert_has_its_tokens_in_order_and_an_absent_one_takes_none() -> None:
    x = torch.arange(3.0)[:, None].expand(3, 2).contiguous()
    sent = dispatch(x, IDS, 4)
    assert sent.counts.tolist() == [1, 1, 3, 0]
    assert sent.rows[2, :, 0].tolist() == [0, 1, 2]
    assert sent.rows[0, 1:].isnan().all()
    assert sent.rows[3].isnan().all()
    assert sent.where.tolist() == [[0, 6], [7, -1], [3, 8]]
    assert sent.tokens[2].tolist() == [0, 1, 2]


def test_the_layer_in_this_format_is_the_layer(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(4)

    def normal(*shape: int) -> torch.Tensor:
        value = torch.randn(*shape, generator=generator) / shape[-1] ** 0.5
        return value.to(device, torch.float16)

    x, w13, w2 = normal(3, 32) * 6, normal(4, 32, 32), normal(4, 32, 16)
    weights = torch.rand(3, 2, generator=generator).to(device)
    ids = IDS.to(device)
    lora = LoRAWeights(
        normal(2, 4, 8, 32),
        normal(2, 4, 32, 8),
        normal(2, 4, 8, 16),
        normal(2, 4, 32, 8),
        torch.tensor([2.0, 0.5], device=device),
        torch.tensor([0, -1, 1], dtype=torch.int32, device=device),
    )
    sent = dispatch(x, ids, 4)
    rows = batched_moe(sent.rows, sent.counts, w13, w2, lora=lora_of_rows(lora, sent))
    out = combine(rows, sent.where, weights)
    wanted = fused_moe_reference(x, w13, w2, weights, ids, lora=lora)
    assert float((out.float() - wanted).norm() / wanted.norm()) < 2e-3
    assert float(wanted.norm()) > 1
