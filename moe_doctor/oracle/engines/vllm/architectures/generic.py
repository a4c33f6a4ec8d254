"""Models that run on Transformers' own code, and classes that call Triton's kernel themselves.

Measured by building each class in 0.16, 0.20, 0.26, 0.29 and 0.33; boundaries between them from
model_executor/models/transformers/ (base.py, moe.py).
"""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.qwen import QWEN3_NEXT
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Rows, Table, changed, table
from moe_doctor.oracle.engines.vllm.architectures.softmax import (
    CALLS_ITSELF,
    GPT_OSS,
    TRANSFORMERS,
    TRANSFORMERS_FUSED,
)

_MODELS = "transformers.models"
# base.py refuses a class without a plan up to 0.24; from 0.25 it replicates its layers.
_REPLICATED = (0, 25, 0)

# moe.py asks for Transformers 5; the newest of the day was 4.57.6 until 0.18.
OLD_TRANSFORMERS = changed(
    TRANSFORMERS,
    TRANSFORMERS.since,
    refused=(
        "ImportError",
        "Transformers modeling backend requires transformers>=5.0.0 for MoE models support, but "
        "got 4.57.6",
    ),
)
# Its block keeps its own forward, so that nothing tells the layer of sequence parallelism.
UNFUSED = changed(TRANSFORMERS, (0, 19, 0), assumed=())
PHIMOE_HF: Rows = (
    changed(UNFUSED, (0, 19, 0), unsharded=f"{_MODELS}.phimoe.modeling_phimoe.PhimoeModel"),
    changed(UNFUSED, _REPLICATED),
)
# Experts under another name than `experts` stay Transformers' own code.
_OWN_CODE = "leaves these experts to Transformers' own code"
DOGE = changed(UNFUSED, (0, 19, 0), unasked=_OWN_CODE)
JETMOE: Rows = (
    changed(DOGE, (0, 19, 0), unsharded=f"{_MODELS}.jetmoe.modeling_jetmoe.JetMoeModel"),
    changed(DOGE, _REPLICATED),
)
SOLAR_OPEN: Rows = (
    UNFUSED,
    changed(TRANSFORMERS_FUSED, (0, 27, 0), router_dtype="float32", assumed=()),
)
MINIMAX_M3_VL_TEXT: Rows = (
    changed(UNFUSED, (0, 23, 0), activation="silu"),
    changed(
        TRANSFORMERS_FUSED,
        (0, 27, 0),
        scoring="sigmoid",
        bias=True,
        router_dtype="float32",
        activation="silu",
        assumed=(),
    ),
)
# Up to 0.26 the text class was found only as the multimodal one.
_NO_TOWER = ("AttributeError", "'Qwen3_5MoeTextConfig' object has no attribute 'vision_config'")
QWEN35_TEXT: Rows = (
    changed(
        QWEN3_NEXT,
        (0, 17, 0),
        source="model_executor/models/qwen3_5.py Qwen3_5MoeForConditionalGeneration",
        refused=_NO_TOWER,
    ),
    changed(QWEN3_NEXT, (0, 27, 0)),
)


def _direct(source: str) -> ClassRow:
    return ClassRow(f"model_executor/models/{source}", unasked=CALLS_ITSELF, activation=None)


MINICPM = changed(
    _direct("minicpm.py MiniCPMMoE"),
    (0, 16, 0),
    rejects=("EPLB is not supported for MiniCPM yet.", ""),
)
ROWS: Table = table(
    ("PhimoeForCausalLM", PHIMOE_HF),
    ("DogeForCausalLM", (DOGE,)),
    ("JetMoeForCausalLM", JETMOE),
    ("SolarOpenForCausalLM", SOLAR_OPEN),
    ("ZayaForCausalLM", (changed(UNFUSED, (0, 25, 0)),)),
    ("Kolibri1ForCausalLM", (changed(UNFUSED, (0, 33, 0)),)),
    ("MiniMaxM3VLForCausalLM", MINIMAX_M3_VL_TEXT),
    ("Qwen3_5MoeForCausalLM", QWEN35_TEXT),
    (
        "OpenAIPrivacyFilterForTokenClassification",
        (changed(GPT_OSS, (0, 25, 0), source="model_executor/models/openai_privacy_filter.py"),),
    ),
    ("MiniCPMForCausalLM", (MINICPM,)),
    (
        "NomicBertModel GteModel GteNewModel GteNewForSequenceClassification",
        (_direct("bert_with_rope.py NomicMoE"),),
    ),
    ("Moondream3ForCausalLM HfMoondream", (_direct("moondream3.py Moondream3TextMoE"),)),
)
