"""What vision and audio towers raise about their sizes: they are built before the language model.

Sources, 0.16.0 to 0.33.0: Llama4UnfoldConvolution of mllama4.py (a column-parallel layer);
Glm4vVisionAttention of glm4_1v.py.
"""

from __future__ import annotations

from moe_doctor.core.release import Release
from moe_doctor.core.selection import EngineError
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.layer_refusals import EngineRefusal

_SPLITS_PATCHES = frozenset({"Llama4ForConditionalGeneration"})
_SPLITS_HEADS = frozenset({"Glm4vMoeForConditionalGeneration"})
_DEFAULT = 768  # Transformers' Llama4VisionConfig
_HEADS = 12  # Transformers' Glm4vMoeVisionConfig
_OMNI = "Qwen3OmniMoeForConditionalGeneration"
_AUDIO_REPLICATED: Release = (0, 29, 0)


def refuse_audio(model: ModelSpec, ranks: int, release: Release) -> EngineRefusal | None:
    """Qwen3-Omni's audio tower, the first that its class builds (qwen3_omni_moe_thinker.py).

    `--mm-encoder-tp-mode data` reaches the vision tower alone; from 0.29.0 on audio is replicated.
    """
    heads = model.widths.audio_heads
    if model.architecture != _OMNI or not heads or release >= _AUDIO_REPLICATED:
        return None
    reason = f"{heads} heads of the audio tower cannot be shared by {ranks} ranks before 0.29.0"
    return _refuse(heads, ranks, reason)


def refuse_tower(model: ModelSpec, ranks: int) -> EngineRefusal | None:
    """The refusal of a tower that does not divide among `ranks`; None otherwise."""
    size, what = None, ""
    if model.architecture in _SPLITS_PATCHES:
        size, what = model.widths.vision.hidden or _DEFAULT, "columns of a patch"
    elif model.architecture in _SPLITS_HEADS:
        size, what = model.widths.vision.heads or _HEADS, "heads"
    if size is None:
        return None
    reason = f"{ranks} ranks cannot share the vision tower's {size} {what}"
    return _refuse(size, ranks, f"{reason}; --mm-encoder-tp-mode data gives each all")


def _refuse(size: int, ranks: int, reason: str) -> EngineRefusal | None:
    """distributed/utils.py divide(); None where nothing is left over."""
    if size % ranks == 0:
        return None
    error = EngineError("AssertionError", f"{size} is not divisible by {ranks}")
    return EngineRefusal("model", error, reason)
