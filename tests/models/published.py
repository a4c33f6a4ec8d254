"""Keys of published configs that the parser reads, for checkpoints that are not beside us.

Each value was checked against a public copy of the checkpoint's config.json, or equals the default
of its transformers config class. Keys that no rule reads are left out.
"""

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


def _model(architecture: str, model_type: str, layers: int, **keys: Any) -> dict[str, Any]:
    base = {"architectures": [architecture], "model_type": model_type, "num_hidden_layers": layers}
    return {**BF16, **base, **keys}


def _mixtral(layers: int, hidden: int, width: int) -> dict[str, Any]:
    return _model(
        "MixtralForCausalLM",
        "mixtral",
        layers,
        hidden_size=hidden,
        intermediate_size=width,
        num_local_experts=8,
        num_experts_per_tok=2,
    )


def _qwen3(layers: int, hidden: int, experts: int, width: int) -> dict[str, Any]:
    return _model(
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


def _glm4(layers: int, hidden: int, experts: int, width: int, dense: int, scale: float) -> Any:
    return _model(
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


def _lfm2() -> dict[str, Any]:
    return _model(
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


def _phi() -> dict[str, Any]:
    return _model(
        "PhiMoEForCausalLM",
        "phimoe",
        32,
        hidden_size=4096,
        intermediate_size=6400,
        num_local_experts=16,
        num_experts_per_tok=2,
    )


def _olmoe() -> dict[str, Any]:
    return _model(
        "OlmoeForCausalLM",
        "olmoe",
        16,
        hidden_size=2048,
        intermediate_size=1024,
        num_experts=64,
        num_experts_per_tok=8,
        norm_topk_prob=False,
    )


def _dbrx() -> dict[str, Any]:
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


def _ernie(layers: int, hidden: int, width: int, top_k: int, shared: int, start: int) -> Any:
    return _model(
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


def _granite(hidden: int, layers: int, experts: int) -> dict[str, Any]:
    return _model(
        "GraniteMoeForCausalLM",
        "granitemoe",
        layers,
        hidden_size=hidden,
        intermediate_size=512,
        num_local_experts=experts,
        num_experts_per_tok=8,
    )


def _deepseek_v3(**keys: Any) -> dict[str, Any]:
    base = _model(
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


def _qwen3_next() -> dict[str, Any]:
    return _model(
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


PUBLISHED: dict[str, dict[str, Any]] = {
    "mistralai/Mixtral-8x7B-Instruct-v0.1": _mixtral(32, 4096, 14336),
    "mistralai/Mixtral-8x22B-v0.1": _mixtral(56, 6144, 16384),
    "mistralai/Mixtral-8x22B-Instruct-v0.1": _mixtral(56, 6144, 16384),
    "Qwen/Qwen3-30B-A3B-Instruct-2507": _qwen3(48, 2048, 128, 768),
    "Qwen/Qwen3-30B-A3B-Thinking-2507": _qwen3(48, 2048, 128, 768),
    "Qwen/Qwen3-Coder-30B-A3B-Instruct": _qwen3(48, 2048, 128, 768),
    "Qwen/Qwen3-235B-A22B-Instruct-2507": _qwen3(94, 4096, 128, 1536),
    "Qwen/Qwen3-235B-A22B-Thinking-2507": _qwen3(94, 4096, 128, 1536),
    "Qwen/Qwen3-Coder-480B-A35B-Instruct": _qwen3(62, 6144, 160, 2560),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": _qwen3_next(),
    "Qwen/Qwen3-Next-80B-A3B-Thinking": _qwen3_next(),
    "Qwen/Qwen1.5-MoE-A2.7B": _model(
        "Qwen2MoeForCausalLM",
        "qwen2_moe",
        24,
        hidden_size=2048,
        num_experts=60,
        num_experts_per_tok=4,
        moe_intermediate_size=1408,
        shared_expert_intermediate_size=5632,
        norm_topk_prob=False,
    ),
    "Qwen/Qwen2-57B-A14B-Instruct": _model(
        "Qwen2MoeForCausalLM",
        "qwen2_moe",
        28,
        hidden_size=3584,
        num_experts=64,
        num_experts_per_tok=8,
        moe_intermediate_size=2560,
        shared_expert_intermediate_size=20480,
        norm_topk_prob=False,
    ),
    "allenai/OLMoE-1B-7B-0924": _olmoe(),
    "allenai/OLMoE-1B-7B-0924-Instruct": _olmoe(),
    "databricks/dbrx-base": _dbrx(),
    "databricks/dbrx-instruct": _dbrx(),
    "microsoft/Phi-3.5-MoE-instruct": _phi(),
    "ai21labs/Jamba-v0.1": _model(
        "JambaForCausalLM",
        "jamba",
        32,
        hidden_size=4096,
        intermediate_size=14336,
        num_experts=16,
        num_experts_per_tok=2,
        expert_layer_period=2,
        expert_layer_offset=1,
    ),
    "baidu/ERNIE-4.5-21B-A3B-PT": _ernie(28, 2560, 1536, 6, 2, 1),
    "baidu/ERNIE-4.5-300B-A47B-PT": _ernie(54, 8192, 3584, 8, 0, 3),
    "tencent/Hunyuan-A13B-Instruct": _model(
        "HunYuanMoEV1ForCausalLM",
        "hunyuan_v1_moe",
        32,
        hidden_size=4096,
        intermediate_size=3072,
        num_experts=64,
        moe_topk=[8] * 32,
        moe_intermediate_size=[3072] * 32,
        num_shared_expert=[1] * 32,
        use_mixed_mlp_moe=True,
    ),
    "deepseek-ai/DeepSeek-V3-0324": _deepseek_v3(),
    "deepseek-ai/DeepSeek-R1-0528": _deepseek_v3(),
    "moonshotai/Moonlight-16B-A3B-Instruct": _model(
        "DeepseekV3ForCausalLM",
        "deepseek_v3",
        27,
        hidden_size=2048,
        n_routed_experts=64,
        num_experts_per_tok=6,
        n_shared_experts=2,
        moe_intermediate_size=1408,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        n_group=1,
        topk_group=1,
        norm_topk_prob=True,
        scoring_func="sigmoid",
        topk_method="noaux_tc",
        routed_scaling_factor=2.446,
        num_nextn_predict_layers=0,
    ),
    "moonshotai/Kimi-Linear-48B-A3B-Instruct": _model(
        "KimiLinearForCausalLM",
        "kimi_linear",
        27,
        hidden_size=2304,
        num_experts=256,
        num_experts_per_token=8,
        num_shared_experts=1,
        moe_intermediate_size=1024,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        use_grouped_topk=True,
        num_expert_group=1,
        topk_group=1,
        moe_renormalize=True,
        moe_router_activation_func="sigmoid",
        routed_scaling_factor=2.446,
        num_nextn_predict_layers=0,
    ),
    "zai-org/GLM-4.5": _glm4(92, 5120, 160, 1536, 3, 2.5),
    "zai-org/GLM-4.6": _glm4(92, 5120, 160, 1536, 3, 2.5),
    "zai-org/GLM-4.7": _glm4(92, 5120, 160, 1536, 3, 2.5),
    "zai-org/GLM-4.5-Air": _glm4(46, 4096, 128, 1408, 1, 1.0),
    "zai-org/GLM-4.7-Flash": _model(
        "Glm4MoeLiteForCausalLM",
        "glm4_moe_lite",
        47,
        hidden_size=2048,
        n_routed_experts=64,
        num_experts_per_tok=4,
        n_shared_experts=1,
        moe_intermediate_size=1536,
        first_k_dense_replace=1,
        n_group=1,
        topk_group=1,
        routed_scaling_factor=1.8,
        norm_topk_prob=True,
        num_nextn_predict_layers=1,
    ),
    "openai/gpt-oss-20b": {
        **_model(
            "GptOssForCausalLM",
            "gpt_oss",
            24,
            hidden_size=2880,
            intermediate_size=2880,
            num_local_experts=32,
            num_experts_per_tok=4,
            quantization_config={
                "quant_method": "mxfp4",
                "modules_to_not_convert": [
                    "model.layers.*.self_attn",
                    "model.layers.*.mlp.router",
                    "model.embed_tokens",
                    "lm_head",
                ],
            },
        )
    },
    "meta-llama/Llama-4-Scout-17B-16E-Instruct": {
        **BF16,
        "architectures": ["Llama4ForConditionalGeneration"],
        "model_type": "llama4",
        "text_config": {
            "model_type": "llama4_text",
            "num_hidden_layers": 48,
            "hidden_size": 5120,
            "intermediate_size": 8192,
            "num_local_experts": 16,
            "num_experts_per_tok": 1,
            "interleave_moe_layer_step": 1,
        },
    },
    "MiniMaxAI/MiniMax-M2": _model(
        "MiniMaxM2ForCausalLM",
        "minimax_m2",
        62,
        hidden_size=3072,
        intermediate_size=1536,
        num_local_experts=256,
        num_experts_per_tok=8,
        scoring_func="sigmoid",
        use_routing_bias=True,
        shared_intermediate_size=0,
        num_mtp_modules=3,
        quantization_config={
            "activation_scheme": "dynamic",
            "fmt": "float8_e4m3fn",
            "modules_to_not_convert": ["gate", "e_score_correction_bias", "lm_head"],
            "quant_method": "fp8",
            "weight_block_size": [128, 128],
        },
    ),
    "meituan-longcat/LongCat-Flash-Chat": {
        **BF16,
        "architectures": ["LongcatFlashForCausalLM"],
        "model_type": "longcat_flash",
        "num_layers": 28,
        "hidden_size": 6144,
        "n_routed_experts": 512,
        "moe_topk": 12,
        "expert_ffn_hidden_size": 2048,
        "zero_expert_num": 256,
        "routed_scaling_factor": 6.0,
    },
    "rednote-hilab/dots.llm1.inst": _model(
        "Dots1ForCausalLM",
        "dots1",
        62,
        hidden_size=4096,
        n_routed_experts=128,
        num_experts_per_tok=6,
        n_shared_experts=2,
        moe_intermediate_size=1408,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        n_group=None,
        topk_group=None,
        norm_topk_prob=True,
        scoring_func="sigmoid",
        topk_method="noaux_tc",
        routed_scaling_factor=2.5,
    ),
    "ibm-granite/granite-3.1-1b-a400m-instruct": _granite(1024, 24, 32),
    "ibm-granite/granite-4.0-h-small": _model(
        "GraniteMoeHybridForCausalLM",
        "granitemoehybrid",
        40,
        hidden_size=4096,
        intermediate_size=768,
        shared_intermediate_size=1536,
        num_local_experts=72,
        num_experts_per_tok=10,
    ),
    "LiquidAI/LFM2-8B-A1B": _lfm2(),
    "LiquidAI/LFM2.5-8B-A1B": _lfm2(),
    "allenai/FlexOlmo-7x7B-1T": _model(
        "FlexOlmoForCausalLM",
        "flex_olmo",
        32,
        hidden_size=4096,
        intermediate_size=11008,
        num_experts=7,
        num_experts_per_tok=5,
        norm_topk_prob=False,
    ),
}
