"""The question an engine's oracle is asked about one kind of layer.

It is the engine-neutral form of what vLLM calls FusedMoEConfig: geometry per rank, parallel sizes,
routing and activation in the engine's names. Everything here is small and hashable.
"""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple


class Parallel(NamedTuple):
    """Sizes of the groups that one MoE layer runs over, as seen by that layer."""

    tp_size: int = 1
    """Ranks that shard each expert; 1 under expert parallelism."""
    dp_size: int = 1
    """Data-parallel ranks."""
    pcp_size: int = 1
    """Prefill-context-parallel ranks."""
    ep_size: int = 1
    """Ranks that the experts are spread over; 1 without expert parallelism."""
    sp_size: int = 1
    """Ranks of sequence parallelism inside the layer."""
    use_ep: bool = False
    """Whether experts are spread instead of sharded."""
    all2all_backend: str = "allgather_reducescatter"
    """How tokens travel."""
    enable_eplb: bool = False
    """Whether experts are rebalanced while serving."""


class QuantQuery(NamedTuple):
    """How the experts' weights and inputs are quantized, in the engine's names."""

    weight_key: str | None = None
    """The engine's name of the weights' format: `kFp8Static128BlockSym`, ...; None = plain."""
    activation_key: str | None = None
    """The engine's name of the inputs' format; None = not quantized."""
    allow_vllm_cutlass: bool = False
    """Whether the method lets the oracle take vLLM's own CUTLASS kernels."""
    model_type: str | None = None
    """The text model's type, which some oracles look at."""
    kind: str = "ct"
    """Integer weights only: whose format it is (`ct`, `gptq`, `awq`, `moe_wna16`,
    `quark`)."""
    bits: int = 4
    """Integer weights only: bits of a weight."""
    group_size: int = 128
    """Integer weights only: weights per scale; -1 = a whole column."""
    symmetric: bool = True
    """Integer weights only: whether there are no zero points."""
    desc_act: bool = False
    """Integer weights only: whether columns are reordered by activation."""


class MoEQuery(NamedTuple):
    """One layer, one deployment, LoRA on or off: the oracle's whole input but the machine."""

    num_experts: int
    """E, global."""
    top_k: int
    """k."""
    hidden_size: int
    """H."""
    intermediate_size_per_partition: int
    """I / tp_size."""
    num_local_experts: int
    """Experts on this rank."""
    activation: str = "silu"
    """The engine's activation value: `silu`, `relu2_no_mul`, ..."""
    routing_method: str = "Renormalize"
    """The engine's routing method name; `Unspecified` where it could not name it."""
    router_logits_dtype: str | None = None
    """Dtype of the router logits where the model fixes it."""
    in_dtype: str = "bfloat16"
    """Dtype of the hidden states."""
    parallel: Parallel = Parallel()
    """Group sizes."""
    lora: bool = False
    """Whether adapters may be applied."""
    has_bias: bool = False
    """Whether expert projections carry a bias."""
    moe_backend: str = "auto"
    """Explicit backend, or `auto`."""
    has_hash_routing: bool = False
    """Whether experts are chosen by a table over token ids."""
    require_decomposed_backend: bool = False
    """Whether the routes are adjusted between routing and experts."""
    swiglu_limit: float | None = None
    """Clamp of the gated activation, where the model has one."""
    quant: QuantQuery | None = None
    """Quantization of the experts; None for the unquantized oracle."""
    situ_betas: tuple[float, float] | None = None
    """beta and linear beta of the SiTU activation, where the model has it."""
    swiglu_alpha: float | None = None
    """SwiGLU-OAI's alpha, where the model has one."""
    swiglu_beta: float | None = None
    """SwiGLU-OAI's beta, where the model has one."""

    def with_quant(self, quant: QuantQuery) -> MoEQuery:
        """The same layer with another `quant`; quicker than `_replace`, asked for every layer."""
        return MoEQuery._make((*self[:_QUANT], quant, *self[_QUANT + 1 :]))

    def with_lora(self, lora: bool) -> MoEQuery:
        """The same layer with adapters, or without."""
        if lora is self.lora:
            return self
        return MoEQuery._make((*self[:_LORA], lora, *self[_LORA + 1 :]))

    @property
    def is_act_and_mul(self) -> bool:
        """Whether w13 holds gate and up rows."""
        return not self.activation.endswith("_no_mul")


_QUANT = MoEQuery._fields.index("quant")
_LORA = MoEQuery._fields.index("lora")
