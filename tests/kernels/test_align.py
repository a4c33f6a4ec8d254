from __future__ import annotations

import pytest
import torch

from moe_doctor.kernels.fused_moe_details._align import Alignment, align

WAYS = pytest.mark.parametrize(
    "way", [{}, {"one_launch": 0, "chunk": 4}], ids=["one-launch", "chunks"]
)


def listed(found: Alignment) -> list[list[int]]:
    """Group, first row and rows of every tile in use."""
    return found.tiles[:, : int(found.num_tiles)].tolist()


@WAYS
def test_the_worked_example_of_the_docstring(device: torch.device, way: dict[str, int]) -> None:
    ids = torch.tensor([[2, 0], [2, 3], [0, 2]], dtype=torch.int32, device=device)
    found = align(ids, None, num_experts=4, max_loras=0, block_m=2, **way)
    assert found.sorted_pairs.tolist() == [1, 4, 0, 2, 5, 3]
    assert listed(found) == [[0, 2, 2, 3], [0, 2, 4, 5], [2, 2, 1, 1]]
    assert found.max_tiles >= 4


@WAYS
def test_adapters_split_an_expert_into_groups(device: torch.device, way: dict[str, int]) -> None:
    ids = torch.tensor([[1], [1], [1]], dtype=torch.int32, device=device)
    lora_ids = torch.tensor([1, -1, 1], dtype=torch.int32, device=device)
    found = align(ids, lora_ids, num_experts=2, max_loras=2, block_m=2, **way)
    # group = (adapter + 1) * 2 + expert: token 1 is in group 1, tokens 0 and 2 in group 5
    assert listed(found) == [[1, 5], [0, 1], [1, 2]]
    assert found.sorted_pairs.tolist() == [1, 0, 2]


@WAYS
def test_absent_experts_have_no_rows(device: torch.device, way: dict[str, int]) -> None:
    ids = torch.tensor([[7, 1], [-1, 0], [1, 4]], dtype=torch.int32, device=device)
    found = align(ids, None, num_experts=4, max_loras=0, block_m=16, **way)
    assert listed(found) == [[0, 1], [0, 1], [1, 2]]
    assert found.sorted_pairs[:3].tolist() == [3, 1, 4]


@pytest.mark.parametrize("chunk", [32, 128])
@pytest.mark.parametrize("experts", [3, 20])
def test_chunks_place_pairs_as_one_launch_does(
    device: torch.device, chunk: int, experts: int
) -> None:
    generator = torch.Generator().manual_seed(experts)
    ids = torch.randint(0, experts, (65, 4), generator=generator, dtype=torch.int32).to(device)
    kwargs = {"num_experts": experts, "max_loras": 0, "block_m": 16}
    whole = align(ids, None, **kwargs)
    parts = align(ids, None, **kwargs, one_launch=0, chunk=chunk)
    wanted = torch.argsort(ids.flatten().long(), stable=True).tolist()
    assert whole.sorted_pairs.tolist() == wanted
    assert parts.sorted_pairs.tolist() == wanted
    assert listed(parts) == listed(whole)
    assert sum(listed(whole)[2]) == 260


@WAYS
@pytest.mark.parametrize(("tokens", "top_k", "experts"), [(1, 1, 8), (3, 2, 2), (50, 4, 8)])
def test_the_bound_holds_when_every_tile_is_as_empty_as_it_can_be(
    device: torch.device, tokens: int, top_k: int, experts: int, way: dict[str, int]
) -> None:
    pairs = torch.arange(tokens * top_k, dtype=torch.int32, device=device)
    ids = pairs.remainder(experts).view(tokens, top_k)
    found = align(ids, None, num_experts=experts, max_loras=0, block_m=16, **way)
    assert int(found.num_tiles) <= found.max_tiles
