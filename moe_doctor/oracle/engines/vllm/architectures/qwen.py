"""Qwen2-MoE, Qwen3-MoE, Qwen3-Next and the wrappers that carry them."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Table, table

QWEN2_MOE = ClassRow(
    "model_executor/models/qwen2_moe.py Qwen2MoeSparseMoeBlock",
    scoring="softmax",
    grouped=False,
    bias=False,
    experts_bound_tp=True,
)
QWEN3_MOE = ClassRow(
    "model_executor/models/qwen3_moe.py Qwen3MoeSparseMoeBlock",
    scoring="softmax",
    grouped=False,
    bias=False,
    sequence_parallel=True,
    experts_bound_tp=True,
)
QWEN3_NEXT = ClassRow(
    "model_executor/models/qwen3_next.py Qwen3NextSparseMoeBlock",
    scoring="softmax",
    grouped=False,
    bias=False,
    sequence_parallel=True,
    experts_bound_tp=True,
)
INTERNS1_PRO = ClassRow(
    "model_executor/models/interns1_pro.py InternS1ProMoeSparseMoeBlock",
    method="Custom",
    sequence_parallel=True,
    experts_bound_tp=True,
)
MOBIUS = ClassRow(
    "model_executor/models/interns2_mobius.py InternS2MobiusMetaMoeBlock",
    since=(0, 28, 0),
    scoring="softmax",
    grouped=False,
    bias=False,
    activation=None,
    sequence_parallel=True,
    experts_bound_tp=True,
)

ROWS: Table = table(
    ("Qwen2MoeForCausalLM", (QWEN2_MOE,)),
    (
        "Qwen3MoeForCausalLM Qwen3VLMoeForConditionalGeneration InternS1ForConditionalGeneration"
        " Qwen3OmniMoeForConditionalGeneration Ovis2_6_MoeForCausalLM",
        (QWEN3_MOE,),
    ),
    (
        "Qwen3NextForCausalLM Qwen3_5MoeForConditionalGeneration Qwen3_5MoeForCausalLM"
        " InternS2PreviewForConditionalGeneration",
        (QWEN3_NEXT,),
    ),
    ("InternS1ProForConditionalGeneration", (INTERNS1_PRO,)),
    ("InternS2MobiusForConditionalGeneration", (MOBIUS,)),
)
