"""Families that route by sigmoid scores or a correction bias on classes of their own."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Rows, Table, changed, table

_FLOAT32_ROUTER = ("the router runs in float32, as the family's published configs say",)

ERNIE = ClassRow(
    "model_executor/models/ernie45_moe.py Ernie4_5_MoeMoE",
    scoring="softmax",
    renormalize=True,
    grouped=False,
    router_dtype="float32",
    experts_bound_tp=True,
)
ERNIE_VL = changed(ERNIE, ERNIE.since, source="model_executor/models/ernie45_vl_moe.py", bias=True)
MINIMAX_M2 = ClassRow(
    "model_executor/models/minimax_m2.py MiniMaxM2MoE",
    renormalize=True,
    grouped=False,
    router_dtype="float32",
    experts_bound_tp=True,
)
_M3 = ClassRow(
    "models/minimax_m3/nvidia/model.py MiniMaxM3MoE",
    since=(0, 24, 0),
    renormalize=True,
    grouped=False,
    router_dtype="float32",
    activation="swigluoai_uninterleave",
    clamps=True,
    experts_bound_tp=True,
)
MINIMAX_M3: Rows = (
    _M3,
    # 0.26.0 is the first without apply_routed_scale_to_output.
    changed(_M3, (0, 26, 0), scales_in_router=True),
)
BAILING = ClassRow("model_executor/models/bailing_moe.py BailingMoE")
BAILING_V2 = changed(BAILING, BAILING.since, router_dtype="float32", assumed=_FLOAT32_ROUTER)
BAILING_LINEAR = changed(
    BAILING_V2, (0, 17, 0), source="model_executor/models/bailing_moe_linear.py BailingMoeV25"
)
BAILING_V3 = ClassRow(
    "model_executor/models/bailing_moe_v3.py BailingMoeV3MoE",
    since=(0, 28, 0),
    scoring="sigmoid",
    renormalize=True,
    grouped=True,
    bias=True,
    router_dtype="float32",
    clamps=True,
)
AFMOE = ClassRow(
    "model_executor/models/afmoe.py AfmoeMoE",
    grouped=True,
    bias=True,
    router_dtype="float32",
)
# Neither decoder layer tells its experts of --enable-eplb.
EXAONE = ClassRow(
    "model_executor/models/exaone_moe.py ExaoneMoe",
    scoring="sigmoid",
    grouped=True,
    bias=True,
    experts_bound_tp=True,
    forwards_eplb=False,
)
EXAONE_ROWS: Rows = (EXAONE, changed(EXAONE, (0, 27, 0), clamps=True))
HY_V3 = ClassRow(
    "model_executor/models/hy_v3.py HYV3MoEFused",
    since=(0, 20, 0),
    scoring="sigmoid",
    grouped=True,
    bias=True,
    experts_bound_tp=True,
    forwards_eplb=False,
)
LAGUNA = ClassRow(
    "model_executor/models/laguna.py LagunaMoE",
    since=(0, 21, 0),
    scoring="sigmoid",
    grouped=False,
    experts_bound_tp=True,
)
LFM2 = ClassRow(
    "model_executor/models/lfm2_moe.py Lfm2MoeSparseMoeBlock",
    scoring="sigmoid",
    grouped=True,
    experts_bound_tp=True,
)
MIMO_V2 = ClassRow(
    "model_executor/models/mimo_v2_flash.py MiMoV2MoE",
    scoring="sigmoid",
    grouped=True,
    bias=True,
    router_dtype="float32",
    sequence_parallel=True,
    experts_bound_tp=True,
)
# float32 logits are a constant in 0.16, gone from 0.17 on, and back with GateLinear in 0.20.
NEMOTRON_H = ClassRow(
    "model_executor/models/nemotron_h.py NemotronHMoE",
    scoring="sigmoid",
    grouped=True,
    bias=True,
    router_dtype="float32",
    activation=None,
    sequence_parallel=True,
)
NEMOTRON_ROWS: Rows = (
    NEMOTRON_H,
    changed(NEMOTRON_H, (0, 17, 0), router_dtype=None),
    changed(NEMOTRON_H, (0, 20, 0)),
)
OPENPANGU = ClassRow(
    "model_executor/models/openpangu.py OpenPanguMoE",
    scoring="sigmoid",
    grouped=True,
    sequence_parallel=True,
)
SARVAM = ClassRow("model_executor/models/sarvam.py SarvamMLAMoE", since=(0, 18, 0))
PARAM2 = ClassRow("model_executor/models/param2moe.py Param2MoEMoEBlock", since=(0, 20, 0))
STEP3P5 = ClassRow(
    "model_executor/models/step3p5.py FusedMoEBlock",
    grouped=False,
    bias=True,
    scales_in_router=True,
    router_dtype="float32",
    activation=None,
    experts_bound_tp=True,
)

ROWS: Table = table(
    ("Ernie4_5_MoeForCausalLM", (ERNIE,)),
    ("Ernie4_5_VLMoeForConditionalGeneration", (ERNIE_VL,)),
    ("MiniMaxM2ForCausalLM", (MINIMAX_M2,)),
    ("MiniMaxM3SparseForCausalLM MiniMaxM3SparseForConditionalGeneration", MINIMAX_M3),
    ("BailingMoeForCausalLM", (BAILING,)),
    ("BailingMoeV2ForCausalLM", (BAILING_V2,)),
    ("BailingMoeV2_5ForCausalLM", (BAILING_LINEAR,)),
    ("BailingMoeV3ForCausalLM BailingMoeV3VLForConditionalGeneration", (BAILING_V3,)),
    ("AfmoeForCausalLM", (AFMOE,)),
    ("ExaoneMoEForCausalLM ExaoneMoeForCausalLM", EXAONE_ROWS),
    ("HYV3ForCausalLM", (HY_V3,)),
    ("LagunaForCausalLM", (LAGUNA,)),
    ("Lfm2MoeForCausalLM", (LFM2,)),
    ("MiMoV2FlashForCausalLM MiMoV2ForCausalLM MiMoV2OmniForCausalLM", (MIMO_V2,)),
    (
        "NemotronHForCausalLM NemotronHPuzzleForCausalLM NemotronH_Nano_VL_V2"
        " NemotronH_Nano_Omni_Reasoning_V3 NemotronH_Omni_Reasoning_V3"
        " NemotronH_Super_Omni_Reasoning_V3",
        NEMOTRON_ROWS,
    ),
    ("PanguProMoEV2ForCausalLM PanguUltraMoEForCausalLM", (OPENPANGU,)),
    ("SarvamMoEForCausalLM SarvamMLAForCausalLM", (SARVAM,)),
    ("Param2MoEForCausalLM", (PARAM2,)),
    ("Step3p5ForCausalLM Step3p7ForConditionalGeneration", (STEP3P5,)),
)
