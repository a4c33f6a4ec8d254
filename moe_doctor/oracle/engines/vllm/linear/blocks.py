"""What a model class calls its linear layers, and which of them it quantizes.

Sources: the attention, MLP and MoE classes under model_executor/models and models, and their
packed_modules_mapping, releases 0.16.0 to 0.33.0. Routers are left out: all but a few are built
without a quantization config, and those are named.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release

_NEVER: Release = (99, 0, 0)


class Block(NamedTuple):
    """Names below a decoder layer."""

    attention: str = "self_attn"
    """Attention."""
    qkv: str = "qkv_proj"
    """Its first projection, which holds q, k and v; empty where it is none of the usual ones."""
    out: str = "o_proj"
    """Its last one."""
    dense: str = "mlp"
    """MLP of layers without experts; empty where there is none or it is another one."""
    dense_everywhere: bool = False
    """Whether that MLP stands beside the experts in every layer."""
    shared: str = ""
    """Shared experts."""
    shared_first: bool = False
    """Whether they are built before the routed ones."""
    splits_qkv: bool = True
    """Whether checkpoints store q, k and v apart (packed_modules_mapping)."""
    router: str = ""
    """Router, where it is quantized."""
    since: Release = (0, 16, 0)
    """First release that builds the layers under these names."""
    mapped_since: Release = (0, 16, 0)
    """First release whose class says which of a checkpoint's layers it fuses."""
    own_shards: tuple[str, ...] = ()
    """Projections that packed_modules_mapping names as their own and only parts."""
    own_shards_since: Release = (0, 16, 0)
    """First release that names them so."""
    odd_class: str = ""
    """Projection whose class is called DeepSeekV2FusedQkvAProj in 0.17.0 and 0.17.1."""
    varies: bool = False
    """Whether layers of sliding-window attention have other heads than the rest."""
    alone: bool = False
    """Whether a layer has either attention, a state space or experts (Nemotron-H)."""
    head_gate: str = ""
    """Projection of a gate per head, after attention's last one."""
    head_gate_since: Release = (0, 16, 0)
    """First release that quantizes it."""
    delta: str = ""
    """Linear attention with a delta rule, or Mamba 2, in layers without the other one."""
    merges_delta: bool = False
    """Whether all that it makes of the hidden states is one layer (Kimi-Linear from 0.27 on)."""
    splits_gates: bool = False
    """Whether a delta rule's gates are two parts of one layer in 0.17."""
    merges_state: bool = True
    """Whether Mamba 2's first projection is built part by part where its groups divide."""
    gate_up: str = "gate_up_proj"
    """An MLP's first layer; empty where gate and up are layers of their own."""
    gate: str = "gate_proj"
    """A checkpoint's gate; `gate_up` where it stores the two as one."""
    up: str = "up_proj"
    """A checkpoint's up projection."""
    down: str = "down_proj"
    """An MLP's last layer."""
    experts_first: bool = False
    """Whether all routed experts are made before any linear layer."""
    shared_divides: bool = False
    """Whether shared experts are divided even where sequence parallelism gives others all."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Pieces of a checkpoint's paths and what the class's hf_to_vllm_mapper makes of them."""
    twice: bool = False
    """Whether a layer has two attentions and two MLPs beside its experts (LongCat)."""


_SHARED = "mlp.shared_experts"
_STANDARD = Block()
_FIRST = Block(shared=_SHARED, shared_first=True)
_LATENT = _FIRST._replace(odd_class="fused_qkv_a_proj")
_GRANITE_SHARED = Block(
    dense="",
    shared="shared_mlp",
    shared_divides=True,
    gate_up="input_linear",
    gate="input_linear",
    down="output_linear",
)
_BLOCKS = {
    "qwen3_moe.py": Block(router="mlp.gate"),
    "qwen2_moe.py": Block(shared="mlp.shared_expert", shared_first=True),
    "qwen3_next.py": Block(
        dense="",
        shared="mlp.shared_expert",
        shared_first=True,
        delta="linear_attn",
        own_shards=("in_proj_qkvz", "in_proj_ba"),
        own_shards_since=(0, 17, 0),
        splits_gates=True,
    ),
    "qwen3_5.py": Block(
        dense="", shared="mlp.shared_expert", shared_first=True, delta="linear_attn"
    ),
    "deepseek_v2.py": _LATENT,
    "glm4_moe.py": _FIRST,
    "glm4_moe_lite.py": _LATENT,
    "dots1.py": _FIRST,
    "exaone_moe.py": _FIRST,
    "openpangu.py": _FIRST,
    "ernie45_moe.py": Block(shared=_SHARED, shared_first=True),
    "ernie45_vl_moe.py": Block(shared=_SHARED, shared_first=True),
    # Mamba's projections are built without a quantization config.
    "jamba.py": Block(qkv="", dense="feed_forward"),
    "afmoe.py": Block(shared=_SHARED, shared_first=True),
    "bailing_moe.py": Block(
        "attention",
        "query_key_value",
        "dense",
        shared=_SHARED,
        shared_first=True,
        splits_qkv=False,
        own_shards=("query_key_value",),
    ),
    # Its packed_modules_mapping names gate and up alone.
    "bailing_moe_linear.py": Block(shared=_SHARED, shared_first=True, delta="self_attn"),
    "sarvam.py": Block(
        "attention",
        "query_key_value",
        "dense",
        shared=_SHARED,
        shared_first=True,
        splits_qkv=False,
    ),
    "param2moe.py": Block(shared=_SHARED, shared_first=True, splits_qkv=False),
    "hy_v3.py": Block(shared="mlp.shared_mlp", shared_first=True),
    "hunyuan_v1.py": Block(shared="mlp.shared_mlp", shared_first=True),
    "llama4.py": Block(
        dense="feed_forward", shared="feed_forward.shared_expert", shared_first=True
    ),
    "gemma4.py": Block(dense_everywhere=True),
    "gpt_oss.py": Block("attn", dense="", renamed=((".self_attn.", ".attn."),)),
    "openai_privacy_filter.py": Block("attn", dense=""),
    "granitemoe.py": Block(dense=""),
    "step3p5.py": Block(
        shared="moe.share_expert",
        shared_first=True,
        varies=True,
        mapped_since=(0, 22, 0),
        head_gate="g_proj",
        head_gate_since=(0, 17, 0),
        renamed=((".share_expert.", ".moe.share_expert."),),
    ),
    "grok1.py": Block("attn", dense=""),
    "minicpm.py": Block(dense=""),
    # Its residual MLPs are built without a quantization config; what it fuses in the others is
    # not stated.
    "arctic.py": Block(
        dense="block_sparse_moe.mlp",
        router="block_sparse_moe.gate",
        gate_up="w13",
        gate="w13",
        down="w2",
    ),
    "minimax_m2.py": Block(dense=""),
    "mixtral.py": Block(dense=""),
    "phimoe.py": Block(dense=""),
    "olmoe.py": Block(dense=""),
    "flex_olmo.py": Block(dense=""),
    "cohere2_moe.py": _STANDARD,
    "mellum.py": _STANDARD,
    "interns1_pro.py": Block(router="mlp.gate"),
    "mimo_v2_flash.py": Block(mapped_since=(0, 21, 0)),
    # Transformers' own blocks, of which attention has these names everywhere; fused from then on.
    # They know nothing of sequence parallelism, and divide shared experts as any MLP.
    "transformers/moe.py": Block(
        shared=_SHARED, since=(0, 27, 0), experts_first=True, shared_divides=True
    ),
    "nemotron_h.py": Block(
        "mixer",
        dense="",
        shared="mixer.shared_experts",
        shared_first=True,
        alone=True,
        delta="mixer",
    ),
    "AXK1.py": _FIRST,
    "longcat_flash.py": Block(dense="mlps", twice=True, odd_class=_LATENT.odd_class),
    "laguna.py": Block(
        shared="mlp.shared_expert", shared_first=True, varies=True, head_gate="g_proj", gate_up=""
    ),
    "step3_text.py": Block(splits_qkv=False, shared="share_expert", mapped_since=_NEVER),
    "kimi_linear.py": Block(
        shared="block_sparse_moe.shared_experts", shared_first=True, delta="self_attn"
    ),
    # Kimi-K3's own gate is a fourth projection of the same layer, and stays unstated.
    "kimi_k3/nvidia/model.py KimiLinearForCausalLM": Block(
        shared="block_sparse_moe.shared_experts",
        shared_first=True,
        delta="self_attn",
        merges_delta=True,
    ),
    # Granite's classes of MLPs beside the experts take these alone from this file; the hybrid's
    # (granitemoehybrid.py) names Mamba's layers otherwise than its checkpoints do.
    "granitemoe.py GraniteMoeSharedForCausalLM": _GRANITE_SHARED,
    "granitemoe.py GraniteMoeHybridForCausalLM": _GRANITE_SHARED._replace(
        delta="mixer", own_shards=("in_proj", "input_linear")
    ),
    "mimo_v2_flash.py MiMoV2ForCausalLM": Block(splits_qkv=False, own_shards=("qkv_proj",)),
    # Attention with an indexer names the same projections, and one more part of the first.
    "minimax_m3/nvidia/model.py": Block(
        shared="block_sparse_moe.shared_experts", shared_first=True
    ),
    "hy_v4/nvidia/moe.py": _FIRST,
    # Short convolutions are built without a quantization config.
    "lfm2_moe.py": Block(
        out="out_proj",
        dense="feed_forward",
        router="feed_forward.gate",
        delta="conv",
        gate_up="w13",
        gate="w1",
        up="w3",
        down="w2",
    ),
}


@lru_cache(maxsize=256)
def block_of(source: str, architecture: str = "") -> Block | None:
    """The names of a row's class (`ClassRow.source`); None where they are not stated."""
    place = source.partition(" ")[0].removeprefix("model_executor/").removeprefix("models/")
    return _BLOCKS.get(f"{place} {architecture}", _BLOCKS.get(place))
