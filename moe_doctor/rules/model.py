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

RULES = (UNKNOWN_FAMILY, ASSUMED, CATALOGUE_ANSWERED, INCOMPLETE_QUANT_CONFIG, REPEATED_KEY)
