"""Families with a routing function or a router of their own."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.architectures.row import ClassRow, Rows, Table, changed, table

LLAMA4 = ClassRow(
    "model_executor/models/llama4.py Llama4MoE", method="Llama4", sequence_parallel=True
)
PHIMOE = ClassRow("model_executor/models/phimoe.py PhiMoE", method="Custom")
# Only a bug kept exact GELU until 0.20: Gemma 4 is trained with the tanh form.
GEMMA4 = ClassRow(
    "model_executor/models/gemma4.py Gemma4MoE",
    since=(0, 19, 0),
    method="Custom",
    activation="gelu",
)
GEMMA4_ROWS: Rows = (GEMMA4, changed(GEMMA4, (0, 21, 0), activation="gelu_tanh"))
# The router of 0.16 to 0.19 applied the zero experts outside, and told the layer nothing of its
# bias; ZeroExpertRouter (0.20) has no method that kernels know.
LONGCAT = ClassRow(
    "model_executor/models/longcat_flash.py LongcatMoe",
    scoring="softmax",
    renormalize=False,
    grouped=False,
    bias=False,
    router_dtype="float32",
)
LONGCAT_ROWS: Rows = (LONGCAT, changed(LONGCAT, (0, 17, 0), method="Unspecified"))
COHERE2 = ClassRow(
    "model_executor/models/cohere2_moe.py Cohere2Moe",
    since=(0, 21, 0),
    grouped=False,
    bias=False,
    experts_bound_tp=True,
)

ROWS: Table = table(
    ("Llama4ForCausalLM Llama4ForConditionalGeneration", (LLAMA4,)),
    ("PhiMoEForCausalLM", (PHIMOE,)),
    (
        "Gemma4ForCausalLM Gemma4ForConditionalGeneration Gemma4UnifiedForConditionalGeneration",
        GEMMA4_ROWS,
    ),
    ("LongcatFlashForCausalLM LongcatFlashNgramForCausalLM", LONGCAT_ROWS),
    ("Cohere2MoeForCausalLM", (COHERE2,)),
)
