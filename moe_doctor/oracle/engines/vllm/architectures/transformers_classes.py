"""MoE classes and model types that Transformers has, by the first release of vLLM of that day.

Read from the newest Transformers on the day of each wheel: 4.57.6 for 0.16 to 0.18, 5.5.4 for 0.19,
5.6 to 5.20 from 0.20 to 0.33; model types include vLLM's own config registry.
"""

from __future__ import annotations

CLASSES = """
- -
    AriaForConditionalGeneration AriaTextForCausalLM BambaForCausalLM DbrxForCausalLM
    DeepseekV2ForCausalLM DeepseekV3ForCausalLM DogeForCausalLM Dots1ForCausalLM
    Ernie4_5_MoeForCausalLM FlexOlmoForCausalLM Glm4MoeForCausalLM
    Glm4vMoeForConditionalGeneration GptOssForCausalLM GraniteMoeForCausalLM
    GraniteMoeHybridForCausalLM GraniteMoeSharedForCausalLM HunYuanMoEV1ForCausalLM
    JambaForCausalLM Llama4ForCausalLM Llama4ForConditionalGeneration
    LongcatFlashForCausalLM MiniMaxForCausalLM MixtralForCausalLM OlmoeForCausalLM
    Qwen2MoeForCausalLM Qwen3MoeForCausalLM Qwen3NextForCausalLM
    Qwen3OmniMoeForConditionalGeneration
    Qwen3OmniMoePreTrainedModelForConditionalGeneration
    Qwen3OmniMoeTalkerCodePredictorModelForConditionalGeneration
    Qwen3OmniMoeTalkerForConditionalGeneration Qwen3OmniMoeThinkerForConditionalGeneration
    Qwen3VLMoeForConditionalGeneration
0.19.0 -
    AfmoeForCausalLM Ernie4_5_VLMoeForConditionalGeneration
    Ernie4_5_VL_MoeForConditionalGeneration ExaoneMoeForCausalLM Gemma4ForCausalLM
    Gemma4ForConditionalGeneration Glm4MoeLiteForCausalLM GlmMoeDsaForCausalLM
    JetMoeForCausalLM Lfm2MoeForCausalLM MiniMaxM2ForCausalLM Mistral4ForCausalLM
    NemotronHForCausalLM PhimoeForCausalLM Qwen3_5MoeForConditionalGeneration
    SolarOpenForCausalLM
0.20.0 -
    HYV3ForCausalLM
0.20.2 -
    DeepseekV4ForCausalLM LagunaForCausalLM
0.22.0 -
    Cohere2MoeForCausalLM
0.23.0 -
    DeepseekOcr2ForConditionalGeneration DeepseekV32ForCausalLM MellumForCausalLM
    MiniMaxM3SparseForConditionalGeneration MiniMaxM3VLForCausalLM
0.25.0 -
    MiMoV2FlashForCausalLM ZayaForCausalLM
0.26.0 -
    InklingForCausalLM InklingForConditionalGeneration
0.27.0 -
    AXK1ForCausalLM AXK2ForCausalLM GraniteMoeSWAForCausalLM
0.28.0 -
    Qwen4ExpForCausalLM Qwen4ExpForConditionalGeneration Step3p7ForConditionalGeneration
0.29.0 -
    Glm5NextForConditionalGeneration
0.30.0 -
    HYV4ForCausalLM KimiLinearForCausalLM
0.33.0 -
    BailingHybridForCausalLM BeamForCausalLM Kolibri1ForCausalLM
    MuseSparkForConditionalGeneration UnlimitedOcrForConditionalGeneration
"""

MODEL_TYPES = """
- -
    afmoe aria aria_text bamba dbrx deepseek_v2 deepseek_v3 deepseek_v32 doge dots1 ernie4_5_moe
    flex_olmo git glm4_moe glm4v_moe glm4v_moe_text gpt_oss granitemoe granitemoehybrid
    granitemoeshared hunyuan_v1_moe jamba jetmoe kimi_k25 kimi_linear kimi_vl lfm2_moe llama4
    llama4_text longcat_flash minimax mixtral nllb-moe olmoe phimoe qwen2_moe qwen3_moe
    qwen3_next qwen3_omni_moe qwen3_vl_moe qwen3_vl_moe_text switch_transformers vitpose
    vitpose_backbone
0.17.0 -
    qwen3_5_moe
0.18.0 -
    kimi_k2
0.19.0 -
    ernie4_5_vl_moe exaone_moe gemma4 gemma4_text glm4_moe_lite glm4v_moe_vision glm_moe_dsa
    minimax_m2 mistral4 nemotron_h qwen3_5_moe_text solar_open
0.20.0 -
    deepseek_v4 ernie4_5_vl_moe_text ernie4_5_vl_moe_vision hy_v3 openai_privacy_filter
    qwen3_5_moe_vision qwen3_omni_moe_audio_encoder qwen3_omni_moe_talker_code_predictor
    qwen3_omni_moe_talker_text qwen3_omni_moe_text qwen3_omni_moe_thinker
    qwen3_omni_moe_vision_encoder qwen3_vl_moe_vision
0.20.2 -
    laguna
0.22.0 -
    cohere2_moe
0.22.1 -
    mellum
0.23.0 -
    deepseek_ocr2 deepseek_ocr2_text diffusion_gemma diffusion_gemma_text minimax_m3_vl
    minimax_m3_vl_text
0.25.0 -
    mimo_v2_flash unlimited-ocr zaya
0.26.0 -
    axk1 inkling_text
0.26.0 0.28.0
    arctic
0.27.0 -
    axk2 granitemoe_swa
0.28.0 -
    qwen4_exp qwen4_exp_text step3p7
0.29.0 -
    glm5_next glm5_next_text hy_v4
0.30.0 -
    bailing_moe_v3_vl
0.32.0 -
    unlimited_ocr
0.33.0 -
    bailing_hybrid beam kolibri1 muse_spark muse_spark_text unlimited_ocr_text
"""
