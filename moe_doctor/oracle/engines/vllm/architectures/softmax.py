"""Families that route by plain softmax top-k: Mixtral, Granite, OLMoE, DBRX, Jamba, ..."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Rows, Table, changed, table

CALLS_ITSELF = "calls Triton's fused_experts itself"


def _softmax(source: str, *, renormalize: bool | None) -> ClassRow:
    """A class that leaves scoring, groups and bias at FusedMoE's defaults."""
    return ClassRow(
        f"model_executor/models/{source}",
        scoring="softmax",
        renormalize=renormalize,
        grouped=False,
        bias=False,
    )


def _bound(row: ClassRow) -> ClassRow:
    return changed(row, row.since, experts_bound_tp=True)


TRANSFORMERS = ClassRow(
    "model_executor/models/transformers/moe.py MoEMixin",
    method="Custom",
    assumed=("the Transformers backend routes outside the layer for this model",),
)
# From 0.27 a block whose parts are recognised routes inside the layer.
TRANSFORMERS_FUSED = changed(
    TRANSFORMERS,
    (0, 27, 0),
    method=None,
    sequence_parallel=True,
    assumed=("the Transformers backend recognises this model's block and routes inside the layer",),
)
GRANITE = changed(
    _softmax("granitemoe.py GraniteMoeMoE", renormalize=True), (0, 16, 0), sequence_parallel=True
)
# Transformers 5.13 calls Granite's "mamba" layers "linear_attention"; 0.26.0 is the first vLLM with
# a class under that word (granitemoehybrid.py ALL_DECODER_LAYER_TYPES).
GRANITE_HYBRID: Rows = (
    GRANITE,
    changed(GRANITE, (0, 25, 0), refused=("KeyError", "'linear_attention'")),
    changed(GRANITE, (0, 26, 0)),
)
HUNYUAN: Rows = (
    changed(
        _bound(_softmax("hunyuan_v1.py HunYuanSparseMoeBlock", renormalize=None)),
        (0, 16, 0),
        renormalize_above_one=True,
    ),
    changed(TRANSFORMERS, (0, 29, 0), sequence_parallel=True, assumed=()),
)
FLEX_OLMO: Rows = (
    changed(
        _softmax("flex_olmo.py FlexOlmoMoE", renormalize=False),
        (0, 16, 0),
        router_dtype="float32",
        quantized=False,
    ),
    changed(
        _softmax("transformers/moe.py MoEMixin", renormalize=None),
        (0, 29, 0),
        sequence_parallel=True,
    ),
)
MELLUM: Rows = (
    changed(_softmax("mellum.py", renormalize=None), (0, 22, 1), sequence_parallel=True),
    changed(
        _softmax("transformers/moe.py MoEMixin", renormalize=None),
        (0, 32, 0),
        sequence_parallel=True,
    ),
)
MINIMAX_TEXT = _softmax("minimax_text_01.py MiniMaxText01MoE", renormalize=True)
MINIMAX: Rows = (
    MINIMAX_TEXT,
    changed(TRANSFORMERS, (0, 24, 0), assumed=()),
    changed(TRANSFORMERS_FUSED, (0, 27, 0), router_dtype="float32", assumed=()),
)
GROK1 = changed(_softmax("grok1.py Grok1MoE", renormalize=None), (0, 16, 0), activation="gelu")
# dbrx keeps its expert count in ffn_config, where ModelConfig.get_num_experts does not look.
DBRX = changed(_softmax("dbrx.py DbrxExperts", renormalize=True), (0, 16, 0), expert_parallel=False)
ARCTIC = changed(
    _softmax("arctic.py ArcticMoE", renormalize=None), (0, 16, 0), unasked=CALLS_ITSELF
)
GPT_OSS = ClassRow(
    "model_executor/models/gpt_oss.py MLPBlock",
    scoring="softmax",
    renormalize=True,
    grouped=False,
    bias=False,
    activation="swigluoai",
    sequence_parallel=True,
)

ROWS: Table = table(
    ("MixtralForCausalLM", (_softmax("mixtral.py MixtralMoE", renormalize=True),)),
    ("OlmoeForCausalLM", (_softmax("olmoe.py OlmoeMoE", renormalize=False),)),
    ("FlexOlmoForCausalLM", FLEX_OLMO),
    ("DbrxForCausalLM", (DBRX,)),
    ("JambaForCausalLM", (_softmax("jamba.py JambaMoE", renormalize=False),)),
    (
        "GraniteMoeForCausalLM GraniteMoeSharedForCausalLM GraniteMoeSWAForCausalLM",
        (GRANITE,),
    ),
    ("GraniteMoeHybridForCausalLM", GRANITE_HYBRID),
    ("HunYuanMoEV1ForCausalLM", HUNYUAN),
    ("MellumForCausalLM", MELLUM),
    ("Grok1ForCausalLM Grok1ModelForCausalLM", (GROK1,)),
    ("ArcticForCausalLM", (ARCTIC,)),
    ("GptOssForCausalLM", (GPT_OSS,)),
    ("AriaForConditionalGeneration", (_softmax("aria.py AriaTextMoELayer", renormalize=True),)),
    (
        "MiniMaxM1ForCausalLM MiniMaxText01ForCausalLM MiniMaxVL01ForConditionalGeneration",
        (MINIMAX_TEXT,),
    ),
    ("MiniMaxForCausalLM", MINIMAX),
    (
        "Step3TextForCausalLM Step3VLForConditionalGeneration",
        (_bound(_softmax("step3_text.py FusedMoEBlock", renormalize=None)),),
    ),
)
