"""DeepSeek V1 to V4, and the families that run on its classes: GLM-5, Kimi-K2, A.X, dots."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Table, changed, table

# DeepseekV2MoE always asks for grouped top-k; absent group keys are one group of one.
DEEPSEEK_V2 = ClassRow(
    "model_executor/models/deepseek_v2.py DeepseekV2MoE",
    grouped=True,
    sequence_parallel=True,
)
# 0.25 deepseek_v2.py _get_moe_router_dtype: glm_moe_dsa always routes in float32.
GLM_DSA_FLOAT32 = changed(DEEPSEEK_V2, (0, 25, 0), router_dtype="float32")
GLM4_MOE = ClassRow(
    "model_executor/models/glm4_moe.py Glm4MoE",
    scoring="sigmoid",
    grouped=True,
    bias=True,
    router_dtype="float32",
)
# glm4_moe_lite.py makes that block without enable_eplb.
GLM4_LITE = changed(GLM4_MOE, GLM4_MOE.since, forwards_eplb=False)
AXK1 = ClassRow(
    "model_executor/models/AXK1.py AXK1MoE",
    since=(0, 17, 0),
    grouped=True,
    sequence_parallel=True,
)
DOTS1 = ClassRow("model_executor/models/dots1.py Dots1MoE", grouped=True)
# From 0.24 dots1 runs on the Transformers backend, whose fused blocks route inside from 0.27.
DOTS1_TRANSFORMERS = ClassRow(
    "model_executor/models/transformers/moe.py MoEMixin", since=(0, 24, 0), method="Custom"
)
DOTS1_FUSED = changed(
    DOTS1_TRANSFORMERS,
    (0, 27, 0),
    method=None,
    scoring="sigmoid",
    bias=True,
    grouped=True,
    router_dtype="float32",
    sequence_parallel=True,
)
KIMI_LINEAR = ClassRow("model_executor/models/kimi_linear.py KimiMoE")
KIMI_LINEAR_K3 = changed(
    KIMI_LINEAR,
    (0, 27, 0),
    source="models/kimi_k3/nvidia/model.py KimiMoE",
    activation=None,
    sequence_parallel=True,
    least_width=256,
)
DEEPSEEK_V4 = ClassRow(
    "model_executor/models/deepseek_v4.py DeepseekV4MoE",
    since=(0, 20, 0),
    grouped=False,
    router_dtype="float32",
)
DEEPSEEK_V4_CLAMPED = changed(
    DEEPSEEK_V4,
    (0, 22, 0),
    source="models/deepseek_v4/nvidia/model.py DeepseekV4MoE",
    clamps=True,
)
DEEPSEEK_V4_SEQUENCE = changed(DEEPSEEK_V4_CLAMPED, (0, 27, 0), sequence_parallel=True)

ROWS: Table = table(
    (
        "DeepseekForCausalLM DeepseekV2ForCausalLM DeepseekV3ForCausalLM DeepseekV32ForCausalLM"
        " MistralLarge3ForCausalLM KimiK25ForConditionalGeneration KimiVLForConditionalGeneration"
        " DeepseekVLV2ForCausalLM DeepseekOCRForCausalLM DeepseekOCR2ForCausalLM",
        (DEEPSEEK_V2,),
    ),
    ("GlmMoeDsaForCausalLM", (DEEPSEEK_V2, GLM_DSA_FLOAT32)),
    ("Glm4MoeForCausalLM Glm4vMoeForConditionalGeneration", (GLM4_MOE,)),
    ("Glm4MoeLiteForCausalLM", (GLM4_LITE,)),
    ("AXK1ForCausalLM", (AXK1,)),
    ("Dots1ForCausalLM", (DOTS1, DOTS1_TRANSFORMERS, DOTS1_FUSED)),
    ("KimiLinearForCausalLM", (KIMI_LINEAR, KIMI_LINEAR_K3)),
    ("DeepseekV4ForCausalLM", (DEEPSEEK_V4, DEEPSEEK_V4_CLAMPED, DEEPSEEK_V4_SEQUENCE)),
)
