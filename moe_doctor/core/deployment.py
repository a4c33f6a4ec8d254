"""What the user would type after `vllm serve`: the part of it that MoE selection reads."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.errors import UsageError
from moe_doctor.core.record import record


@record
class Deployment:
    """Parallel sizes and kernel options of one server."""

    tensor_parallel_size: int = 1
    """TP: ranks that share each weight."""
    data_parallel_size: int = 1
    """DP: replicas of attention; with expert parallelism the experts span TP x DP ranks."""
    prefill_context_parallel_size: int = 1
    """PCP: ranks that share a prompt."""
    pipeline_parallel_size: int = 1
    """PP: stages."""
    expert_parallel: bool = False
    """Whether experts are spread over ranks instead of sharded."""
    all2all_backend: str | None = None
    """How tokens travel between expert-parallel ranks; None = the engine's default."""
    enable_eplb: bool = False
    """Whether experts are rebalanced while serving."""
    enable_dbo: bool = False
    """Whether batches are split in two that overlap (`--enable-dbo`)."""
    num_redundant_experts: int = 0
    """Experts that rebalancing keeps twice (`--eplb-config`), over all ranks."""
    moe_backend: str = "auto"
    """Explicit `--moe-backend`, or `auto`."""
    quantization: str | None = None
    """Explicit `--quantization`, or None for what the checkpoint says."""
    dtype: str = "auto"
    """Explicit `--dtype`, or `auto`."""
    mm_encoder_tp_mode: str = "weights"
    """How ranks divide a vision tower: its `weights`, or its `data` with whole weights each."""
    max_num_batched_tokens: int | None = None
    """Largest batch of tokens; None = the engine's default."""
    max_lora_rank: int | None = None
    """Largest adapter rank; None = the engine's default."""

    def __post_init__(self) -> None:
        for name in (
            "tensor_parallel_size",
            "data_parallel_size",
            "prefill_context_parallel_size",
            "pipeline_parallel_size",
        ):
            value = getattr(self, name)
            if not 1 <= value <= 65536:
                raise UsageError(f"{name} is {value}; expected 1..65536")
        if not 0 <= self.num_redundant_experts <= 65536:
            raise UsageError(
                f"num_redundant_experts is {self.num_redundant_experts}; expected 0..65536"
            )

    @property
    def tower_ranks(self) -> int:
        """Ranks that share the weights of a vision tower."""
        return 1 if self.mm_encoder_tp_mode == "data" else self.tensor_parallel_size

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        return {
            "tensor_parallel_size": self.tensor_parallel_size,
            "data_parallel_size": self.data_parallel_size,
            "prefill_context_parallel_size": self.prefill_context_parallel_size,
            "pipeline_parallel_size": self.pipeline_parallel_size,
            "expert_parallel": self.expert_parallel,
            "all2all_backend": self.all2all_backend,
            "enable_eplb": self.enable_eplb,
            "enable_dbo": self.enable_dbo,
            "num_redundant_experts": self.num_redundant_experts,
            "moe_backend": self.moe_backend,
            "quantization": self.quantization,
            "dtype": self.dtype,
            "mm_encoder_tp_mode": self.mm_encoder_tp_mode,
            "max_num_batched_tokens": self.max_num_batched_tokens,
            "max_lora_rank": self.max_lora_rank,
        }
