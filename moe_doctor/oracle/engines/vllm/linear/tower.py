"""What a vision tower raises about its own widths: it is built before the language model.

Source: Llama4UnfoldConvolution of mllama4.py (a column-parallel layer), 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_SPLITS_PATCHES = frozenset({"Llama4ForConditionalGeneration"})
_DEFAULT = 768  # Transformers' Llama4VisionConfig


def refuse_tower(model: ModelSpec, ranks: int) -> EngineRefusal | None:
    """The refusal of a tower whose patches do not divide among `ranks`; None otherwise."""
    if model.architecture not in _SPLITS_PATCHES:
        return None
    width = model.widths.vision.hidden or _DEFAULT
    if width % ranks == 0:
        return None
    error = EngineError("AssertionError", f"{width} is not divisible by {ranks}")
    reason = f"the vision tower's patches are {width} wide, which {ranks} ranks cannot share"
    return EngineRefusal("model", error, reason)
