"""The keys of a family as functions of the numbers in which its checkpoints differ."""

from __future__ import annotations

from typing import Any

BF16 = {"torch_dtype": "bfloat16"}
FP8_BLOCK = {
    "quantization_config": {
        "activation_scheme": "dynamic",
        "fmt": "e4m3",
        "quant_method": "fp8",
        "weight_block_size": [128, 128],
    }
}


def model(architecture: str, model_type: str, layers: int, **keys: Any) -> dict[str, Any]:
    base = {"architectures": [architecture], "model_type": model_type, "num_hidden_layers": layers}
    return {**BF16, **base, **keys}


def mixtral(layers: int, hidden: int, width: int) -> dict[str, Any]:
    return model(
        "MixtralForCausalLM",
        "mixtral",
        layers,
        hidden_size=hidden,
        intermediate_size=width,
        num_local_experts=8,
        num_experts_per_tok=2,
    )


def qwen3(layers: int, hidden: int, experts: int, width: int) -> dict[str, Any]:
    return model(
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        layers,
        hidden_size=hidden,
        num_experts=experts,
        num_experts_per_tok=8,
        moe_intermediate_size=width,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )


def glm4(layers: int, hidden: int, experts: int, width: int, dense: int, scale: float) -> Any:
    return model(
        "Glm4MoeForCausalLM",
        "glm4_moe",
        layers,
        hidden_size=hidden,
        n_routed_experts=experts,
        num_experts_per_tok=8,
        n_shared_experts=1,
        moe_intermediate_size=width,
        first_k_dense_replace=dense,
        routed_scaling_factor=scale,
        n_group=1,
        topk_group=1,
        norm_topk_prob=True,
        num_nextn_predict_layers=1,
    )


def lfm2() -> dict[str, Any]:
    return model(
        "Lfm2MoeForCausalLM",
        "lfm2_moe",
        24,
        hidden_size=2048,
        num_experts=32,
        num_experts_per_tok=4,
        moe_intermediate_size=1792,
        num_dense_layers=2,
        norm_topk_prob=True,
        use_expert_bias=True,
        routed_scaling_factor=1.0,
    )


def phi() -> dict[str, Any]:
    return model(
        "PhiMoEForCausalLM",
        "phimoe",
        32,
        hidden_size=4096,
        intermediate_size=6400,
        num_local_experts=16,
        num_experts_per_tok=2,
    )


def olmoe() -> dict[str, Any]:
    return model(
        "OlmoeForCausalLM",
        "olmoe",
        16,
        hidden_size=2048,
        intermediate_size=1024,
        num_experts=64,
        num_experts_per_tok=8,
        norm_topk_prob=False,
    )


def dbrx() -> dict[str, Any]:
    return {
        **BF16,
        "architectures": ["DbrxForCausalLM"],
        "model_type": "dbrx",
        "d_model": 6144,
        "n_layers": 40,
        "ffn_config": {
            "ffn_act_fn": {"name": "silu"},
            "ffn_hidden_size": 10752,
            "moe_num_experts": 16,
            "moe_top_k": 4,
        },
    }


def ernie(layers: int, hidden: int, width: int, top_k: int, shared: int, start: int) -> Any:
    return model(
        "Ernie4_5_MoeForCausalLM",
        "ernie4_5_moe",
        layers,
        hidden_size=hidden,
        moe_num_experts=64,
        moe_k=top_k,
        moe_intermediate_size=width,
        moe_num_shared_experts=shared,
        moe_layer_start_index=start,
        moe_layer_end_index=layers - 1,
        moe_layer_interval=1,
    )


def granite(hidden: int, layers: int, experts: int) -> dict[str, Any]:
    return model(
        "GraniteMoeForCausalLM",
        "granitemoe",
        layers,
        hidden_size=hidden,
        intermediate_size=512,
        num_local_experts=experts,
        num_experts_per_tok=8,
    )


def deepseek_v2(layers: int, hidden: int, experts: int, width: int, **keys: Any) -> dict[str, Any]:
    base = model(
        "DeepseekV2ForCausalLM",
        "deepseek_v2",
        layers,
        hidden_size=hidden,
        n_routed_experts=experts,
        num_experts_per_tok=6,
        n_shared_experts=2,
        moe_intermediate_size=width,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        n_group=1,
        topk_group=1,
        norm_topk_prob=False,
        scoring_func="softmax",
        topk_method="greedy",
        routed_scaling_factor=1.0,
    )
    return {**base, **keys}


def deepseek_v3(**keys: Any) -> dict[str, Any]:
    base = model(
        "DeepseekV3ForCausalLM",
        "deepseek_v3",
        61,
        hidden_size=7168,
        n_routed_experts=256,
        num_experts_per_tok=8,
        n_shared_experts=1,
        moe_intermediate_size=2048,
        first_k_dense_replace=3,
        moe_layer_freq=1,
        n_group=8,
        topk_group=4,
        norm_topk_prob=True,
        scoring_func="sigmoid",
        topk_method="noaux_tc",
        routed_scaling_factor=2.5,
        num_nextn_predict_layers=1,
    )
    return {**base, **FP8_BLOCK, **keys}


def qwen3_next() -> dict[str, Any]:
    return model(
        "Qwen3NextForCausalLM",
        "qwen3_next",
        48,
        hidden_size=2048,
        num_experts=512,
        num_experts_per_tok=10,
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        norm_topk_prob=True,
        decoder_sparse_step=1,
        mlp_only_layers=[],
    )
