"""Other implementations of the same layer, called as their engines call them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tests.gpu.layers import Batch, Layer, Shape

Call = Callable[[Batch], Tensor]


def ours(layer: Layer) -> Call:
    """`moe_doctor.kernels.fused_moe`."""
    from moe_doctor.kernels.fused_moe import fused_moe

    def call(batch: Batch) -> Tensor:
        return fused_moe(
            batch.x,
            layer.w13,
            layer.w2,
            batch.topk_weights,
            batch.topk_ids,
            activation=layer.shape.activation,
            gated=layer.shape.gated,
        )

    return call


@contextlib.contextmanager
def vllm_session() -> Iterator[None]:
    """What vLLM's layers expect around them: a config and a workspace (vLLM 0.20.0)."""
    import vllm._C
    import vllm._C_stable_libtorch
    import vllm._moe_C  # noqa: F401
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.v1.worker.workspace import init_workspace_manager

    config = VllmConfig()
    # min(2 * max_num_seqs, 512), what a served model gets; 0 without a model.
    config.compilation_config.max_cudagraph_capture_size = 512
    with set_current_vllm_config(config):
        init_workspace_manager(torch.device("cuda"))
        yield


def _vllm_kernel(layer: Layer, backend: str) -> tuple[Any, Tensor, Tensor, Any]:
    from vllm.model_executor.layers.fused_moe.activation import MoEActivation
    from vllm.model_executor.layers.fused_moe.config import (
        FUSED_MOE_UNQUANTIZED_CONFIG,
        FusedMoEConfig,
        FusedMoEParallelConfig,
        RoutingMethodType,
    )
    from vllm.model_executor.layers.fused_moe.oracle import unquantized as oracle

    shape = layer.shape
    config = FusedMoEConfig(
        num_experts=shape.num_experts,
        experts_per_token=shape.top_k,
        hidden_dim=shape.hidden_size,
        intermediate_size_per_partition=shape.intermediate_size,
        num_local_experts=shape.num_experts,
        num_logical_experts=shape.num_experts,
        activation=MoEActivation.SILU if shape.gated else MoEActivation.RELU2_NO_MUL,
        device="cuda",
        routing_method=RoutingMethodType.Renormalize,
        moe_parallel_config=FusedMoEParallelConfig.make_no_parallel(),
        in_dtype=torch.bfloat16,
        router_logits_dtype=torch.bfloat16,
        is_act_and_mul=shape.gated,
        moe_backend=backend,
        max_num_tokens=8192,
    )
    chosen, experts = oracle.select_unquantized_moe_backend(config)
    if chosen.name.lower() != backend:
        raise RuntimeError(f"vLLM chose {chosen.name} where {backend} was named")
    module = torch.nn.Module()
    module.moe_config = config
    w13, w2 = oracle.convert_to_unquantized_kernel_format(chosen, module, layer.w13, layer.w2)
    kernel = oracle.make_unquantized_moe_kernel(
        FUSED_MOE_UNQUANTIZED_CONFIG, config, chosen, experts
    )
    return kernel, w13, w2, config


def vllm(layer: Layer, backend: str = "triton") -> Call:
    """vLLM's modular kernel for one backend, inside `vllm_session`."""
    kernel, w13, w2, config = _vllm_kernel(layer, backend)

    def call(batch: Batch) -> Tensor:
        found: Tensor = kernel.apply(
            hidden_states=batch.x,
            w1=w13,
            w2=w2,
            topk_weights=batch.topk_weights,
            topk_ids=batch.topk_ids,
            activation=config.activation,
            global_num_experts=config.num_experts,
            expert_map=None,
            apply_router_weight_on_input=False,
        )
        return found

    return call


def vllm_tiles(rows_per_expert: float) -> list[dict[str, int]]:
    """Tiles out of vLLM's own search space (benchmark_moe.py) that suit a batch."""
    if rows_per_expert <= 20:
        rows, columns, depths = (16, 32), (64, 128), (128,)
    elif rows_per_expert <= 100:
        rows, columns, depths = (64, 128), (64, 128), (64,)
    else:
        rows, columns, depths = (64, 128), (128, 256), (64,)
    return [
        {
            "BLOCK_SIZE_M": m,
            "BLOCK_SIZE_N": n,
            "BLOCK_SIZE_K": k,
            "GROUP_SIZE_M": 1 if m < 64 else 16,
            "num_warps": 8 if m * n >= 128 * 128 else 4,
            "num_stages": stages,
        }
        for m in rows
        for n in columns
        for k in depths
        for stages in (3, 4)
        if stages * (m + n) * k * 2 <= 227 * 1024
    ]


def vllm_tuned(layer: Layer, tile: dict[str, int]) -> Call:
    """vLLM's Triton kernel with one tile of `vllm_tiles`."""
    from vllm.model_executor.layers.fused_moe import override_config

    plain = vllm(layer)

    def call(batch: Batch) -> Tensor:
        with override_config(tile):
            return plain(batch)

    return call


def torch_grouped(layer: Layer) -> Call:
    """`torch._grouped_mm` between a sort and a sum, all on the device."""
    shape = layer.shape
    w13, w2 = layer.w13.transpose(1, 2), layer.w2.transpose(1, 2)
    activate = {
        "silu": torch.nn.functional.silu,
        "relu2": lambda x: torch.relu(x).square(),
    }[shape.activation]
    experts = torch.arange(shape.num_experts, device="cuda", dtype=torch.int32)

    def call(batch: Batch) -> Tensor:
        ids, order = batch.topk_ids.flatten().sort(stable=True)
        ends = torch.searchsorted(ids, experts, right=True).to(torch.int32)
        rows = batch.x[order // shape.top_k]
        inner = torch._grouped_mm(rows, w13, offs=ends)
        if shape.gated:
            gate, up = inner.chunk(2, dim=-1)
            inner = activate(gate) * up
        else:
            inner = activate(inner)
        pairs = torch._grouped_mm(inner, w2, offs=ends)
        back = torch.empty_like(pairs)
        back[order] = pairs
        weights = batch.topk_weights[..., None].to(pairs.dtype)
        return (back.view(*batch.topk_ids.shape, -1) * weights).sum(1)

    return call


def flashinfer_cutlass(layer: Layer, shape: Shape, tune: list[Batch]) -> Call:
    """FlashInfer's CUTLASS MoE, autotuned on `tune` first."""
    from flashinfer.autotuner import AutoTuner, autotune
    from flashinfer.fused_moe import cutlass_fused_moe
    from flashinfer.fused_moe.core import ActivationType

    w13 = layer.w13
    if shape.gated:
        gate, up = w13.chunk(2, dim=1)
        w13 = torch.cat((up, gate), dim=1)
    kind = ActivationType.Swiglu if shape.gated else ActivationType.Relu2

    def call(batch: Batch) -> Tensor:
        out = torch.empty_like(batch.x)
        cutlass_fused_moe(
            input=batch.x,
            token_selected_experts=batch.topk_ids,
            token_final_scales=batch.topk_weights,
            fc1_expert_weights=w13,
            fc2_expert_weights=layer.w2,
            output_dtype=out.dtype,
            quant_scales=[],
            output=out,
            activation_type=kind,
            tune_max_num_tokens=8192,
        )
        return out

    with autotune(True):
        for batch in tune:
            call(batch)
    torch.cuda.synchronize()
    # The tuner swallows errors: without one tuned operation its numbers are the fallback's.
    if not AutoTuner.get().stats.tuned_op_successful_configs:
        raise RuntimeError("FlashInfer's autotuner tuned nothing")
    return call
