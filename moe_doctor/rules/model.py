"""3xx model config."""

from __future__ import annotations

from moe_doctor.core.findings import Severity
from moe_doctor.rules.rule import Rule

UNKNOWN_FAMILY = Rule(
    "MOE301",
    "unknown-family",
    Severity.WARNING,
    "The model's family is not in the tables; it was read by its standard keys.",
    "Which layers are MoE, their activation and their routing follow from the model's own code. "
    "For "
    "a family that is not known, the usual keys are taken at their word.",
    "Compare the first line of the report with the model card.",
)
ASSUMED = Rule(
    "MOE302",
    "config-assumption",
    Severity.INFO,
    "The config does not settle something; the report says what was assumed.",
    "A key is missing or contradicts another one, and the family's default was taken.",
    "",
)
CATALOGUE_ANSWERED = Rule(
    "MOE303",
    "catalogue-answered",
    Severity.INFO,
    "The hub could not be asked; the bundled catalogue answered.",
    "The catalogue holds facts of well-known checkpoints as of moe-doctor's release; a newer "
    "revision of the model may differ.",
    "Run again with network, or pass the checkpoint's folder.",
)
INCOMPLETE_QUANT_CONFIG = Rule(
    "MOE304",
    "incomplete-quantization-config",
    Severity.WARNING,
    "hf_quant_config.json names no producer, so vLLM does not recognise the quantization.",
    "vLLM takes hf_quant_config.json for ModelOpt only when producer.name says so. Without it the "
    "server builds unquantized layers, and loading quantized weights into them fails.",
    "Fetch the checkpoint again, or pass --quantization.",
)
REPEATED_KEY = Rule(
    "MOE305",
    "repeated-config-key",
    Severity.WARNING,
    "A config file gives a key more than once.",
    "JSON readers take the last value and say nothing, the engine's as well. An edit by hand that "
    "stands above the old line does nothing.",
    "Delete the lines that are not meant.",
)
TOP_K_ABOVE_EXPERTS = Rule(
    "MOE306",
    "top-k-above-experts",
    Severity.ERROR,
    "A token asks for more experts than the layer has.",
    "Engines do not look: vLLM builds the layer and starts. Its softmax routing then fills the "
    "surplus places with expert 0 again (topk_softmax of 0.20.0, seen on an H100, 2026-11-23), so "
    "that its output counts several times; routing by groups raises 'selected index k out of "
    "range'.",
    "Compare num_experts_per_tok with the number of experts in the checkpoint's own config.json.",
)

RULES = (
    UNKNOWN_FAMILY,
    ASSUMED,
    CATALOGUE_ANSWERED,
    INCOMPLETE_QUANT_CONFIG,
    REPEATED_KEY,
    TOP_K_ABOVE_EXPERTS,
)
