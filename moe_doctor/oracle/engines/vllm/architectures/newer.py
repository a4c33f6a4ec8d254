"""Classes that arrived with 0.26 and later, read from their sources; none was built to check."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.deepseek import DEEPSEEK_V2
from moe_doctor.oracle.engines.vllm.architectures.qwen import QWEN3_NEXT
from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Table, changed, table

_READ = ("the class was read from its source and not built",)

INKLING = ClassRow(
    "models/inkling/nvidia/moe.py InklingMoE",
    since=(0, 26, 0),
    method="Custom",
    router_dtype="float32",
    assumed=_READ,
)
KIMI_K3 = ClassRow(
    "models/kimi_k3/nvidia/model.py KimiMoE",
    since=(0, 27, 0),
    activation=None,
    sequence_parallel=True,
    least_width=256,
    assumed=_READ,
)
DOTS3_NOTE = changed(
    DEEPSEEK_V2,
    (0, 28, 0),
    source="models/dots3_note/nvidia/model.py Dots3NoteMoE",
    assumed=_READ,
)
HY_V4 = ClassRow(
    "models/hy_v4/nvidia/moe.py HYV4MoEFused",
    since=(0, 29, 0),
    scoring="sigmoid",
    grouped=True,
    bias=True,
    clamps=True,
    experts_bound_tp=True,
    assumed=_READ,
)
QWEN4_EXP = changed(
    QWEN3_NEXT,
    (0, 29, 0),
    experts_bound_tp=False,
    source="models/qwen4_exp/nvidia/model.py Qwen4ExpSparseMoeBlock",
    assumed=_READ,
)
GLM5_NEXT = ClassRow(
    "models/glm5next/common/model.py Glm5NextMoE",
    since=(0, 30, 0),
    grouped=True,
    sequence_parallel=True,
    clamps=True,
    assumed=(*_READ, "the router runs in the dtype of the hidden states"),
)
K2_HORIZON = ClassRow(
    "model_executor/models/k2_horizon.py K2HorizonSparseMoeBlock",
    since=(0, 30, 0),
    grouped=False,
    sequence_parallel=True,
    experts_bound_tp=True,
    assumed=_READ,
)
ALICE_AI = ClassRow(
    "model_executor/models/alice_ai.py AliceAISparseMoeBlock",
    since=(0, 33, 0),
    scoring="sigmoid",
    grouped=False,
    bias=True,
    experts_bound_tp=True,
    assumed=_READ,
)
STEP5 = ClassRow(
    "models/step5/nvidia/model.py Step5MoE",
    since=(0, 33, 0),
    grouped=False,
    router_dtype="float32",
    activation=None,
)
# muse_moe_runner.py builds its own methods for plain and NVFP4 experts.
MUSE_SPARK = ClassRow(
    "models/muse_spark/nvidia/model.py MuseSpark1xMoE",
    since=(0, 33, 0),
    unasked="brings methods of its own for its experts and asks no oracle",
)
BEAM = ClassRow(
    "models/beam/nvidia/moe.py BeamSparseMoeBlock",
    since=(0, 33, 0),
    scoring="sigmoid",
    bias=True,
    router_dtype="float32",
    rejects=(
        "Beam has not been validated with EPLB; run without --enable-eplb.",
        "Beam has not been validated with sequence-parallel MoE (data parallelism with expert "
        "parallelism).",
    ),
    assumed=_READ,
)
FLINT = ClassRow(
    "models/flint/model.py FlintSparseMoeBlock",
    since=(0, 33, 0),
    grouped=False,
    bias=False,
    assumed=_READ,
)

ROWS: Table = table(
    ("InklingForCausalLM InklingForConditionalGeneration", (INKLING,)),
    ("KimiK3ForConditionalGeneration", (KIMI_K3,)),
    ("Dots3NoteForCausalLM", (DOTS3_NOTE,)),
    ("HYV4ForCausalLM", (HY_V4,)),
    ("Qwen4ExpForCausalLM Qwen4ExpForConditionalGeneration", (QWEN4_EXP,)),
    ("Glm5NextForCausalLM Glm5NextForConditionalGeneration", (GLM5_NEXT,)),
    ("K2HorizonForCausalLM", (K2_HORIZON,)),
    ("AliceAIForCausalLM", (ALICE_AI,)),
    ("BeamForCausalLM", (BEAM,)),
    ("FlintForCausalLM", (FLINT,)),
    ("MuseSparkForConditionalGeneration", (MUSE_SPARK,)),
    ("Step5ForCausalLM Step5ForConditionalGeneration", (STEP5,)),
)
