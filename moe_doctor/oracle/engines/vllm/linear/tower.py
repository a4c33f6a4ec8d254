"""What a vision tower raises about its own widths: it is built before the language model.

Sources, 0.16.0 to 0.33.0: Llama4UnfoldConvolution of mllama4.py (a column-parallel layer);
Glm4vVisionAttention of glm4_1v.py.
"""

from __future__ import annotations

from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_SPLITS_PATCHES = frozenset({"Llama4ForConditionalGeneration"})
_SPLITS_HEADS = frozenset({"Glm4vMoeForConditionalGeneration"})
_DEFAULT = 768  # Transformers' Llama4VisionConfig
_HEADS = 12  # Transformers' Glm4vMoeVisionConfig


def refuse_tower(model: ModelSpec, ranks: int) -> EngineRefusal | None:
    """The refusal of a tower that does not divide among `ranks`; None otherwise."""
    size, what = None, ""
    if model.architecture in _SPLITS_PATCHES:
        size, what = model.widths.vision.hidden or _DEFAULT, "columns of a patch"
    elif model.architecture in _SPLITS_HEADS:
        size, what = model.widths.vision.heads or _HEADS, "heads"
    if size is None or size % ranks == 0:
        return None
    error = EngineError("AssertionError", f"{size} is not divisible by {ranks}")
    reason = f"{ranks} ranks cannot share the vision tower's {size} {what}"
    return EngineRefusal("model", error, f"{reason}; --mm-encoder-tp-mode data gives each all")
