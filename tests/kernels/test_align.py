from __future__ import annotations

import pytest
import torch

from moe_doctor.kernels.fused_moe_details._align import align


def test_the_worked_example_of_the_docstring(device: torch.device) -> None:
    ids = torch.tensor([[2, 0], [2, 3], [0, 2]], dtype=torch.int32, device=device)
    result = align(ids, None, num_experts=4, max_loras=0, block_m=4)
    assert result.num_padded.tolist() == [12]
    assert result.sorted_pairs[:12].tolist() == [1, 4, 6, 6, 0, 2, 5, 6, 3, 6, 6, 6]
    assert result.tile_group[:3].tolist() == [0, 2, 3]
    assert result.max_tiles >= 3


def test_adapters_split_an_expert_into_groups(device: torch.device) -> None:
    ids = torch.tensor([[1], [1], [1]], dtype=torch.int32, device=device)
    lora_ids = torch.tensor([1, -1, 1], dtype=torch.int32, device=device)
    result = align(ids, lora_ids, num_experts=2, max_loras=2, block_m=2)
    # group = (adapter + 1) * 2 + expert: token 1 is in group 1, tokens 0 and 2 in group 5
    assert result.tile_group[:2].tolist() == [1, 5]
    assert result.sorted_pairs[:4].tolist() == [1, 3, 0, 2]


def test_more_pairs_than_one_chunk_keep_their_order(device: torch.device) -> None:
    ids = torch.arange(2600, dtype=torch.int32, device=device).remainder(3)[:, None]
    result = align(ids, None, num_experts=3, max_loras=0, block_m=16)
    padded = int(result.num_padded)
    pairs = result.sorted_pairs[:padded].cpu()
    real = pairs[pairs < 2600]
    assert real.tolist() == [p for e in range(3) for p in range(e, 2600, 3)]
    assert padded <= result.max_tiles * 16


@pytest.mark.parametrize(("tokens", "top_k", "experts"), [(1, 1, 8), (3, 2, 2), (50, 4, 8)])
def test_the_bound_holds_when_every_tile_is_as_empty_as_it_can_be(
    device: torch.device, tokens: int, top_k: int, experts: int
) -> None:
    pairs = torch.arange(tokens * top_k, dtype=torch.int32, device=device)
    ids = pairs.remainder(experts).view(tokens, top_k)
    result = align(ids, None, num_experts=experts, max_loras=0, block_m=16)
    assert int(result.num_padded) <= result.max_tiles * 16
