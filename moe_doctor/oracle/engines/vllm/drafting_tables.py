"""Names in `--speculative-config`, and the class that drafts for each served model.

Sources: config/speculative.py (SpeculativeMethod, SpeculativeConfig, hf_config_override) and
_SPECULATIVE_DECODING_MODELS in model_executor/models/registry.py, releases 0.16.0 to 0.33.0.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release

# SpeculativeMethod, in its order: first release, and the first without it.
METHODS: dict[str, tuple[Release, Release | None]] = {
    "ngram": ((0, 16, 0), None),
    "medusa": ((0, 16, 0), (0, 33, 0)),
    "mlp_speculator": ((0, 16, 0), (0, 33, 0)),
    "draft_model": ((0, 16, 0), None),
    "suffix": ((0, 16, 0), None),
    "custom_class": ((0, 22, 0), None),
    "eagle": ((0, 16, 0), None),
    "eagle3": ((0, 16, 0), None),
    "extract_hidden_states": ((0, 17, 0), None),
    "deepseek_mtp": ((0, 16, 0), None),
    "dots3_note_mtp": ((0, 28, 0), None),
    "mimo_mtp": ((0, 16, 0), None),
    "mimo_v2_mtp": ((0, 21, 0), None),
    "glm4_moe_mtp": ((0, 16, 0), None),
    "glm4_moe_lite_mtp": ((0, 16, 0), None),
    "glm_ocr_mtp": ((0, 16, 0), None),
    "ernie_mtp": ((0, 16, 0), None),
    "nemotron_h_mtp": ((0, 17, 0), None),
    "exaone_moe_mtp": ((0, 16, 0), None),
    "exaone4_5_mtp": ((0, 20, 0), None),
    "qwen3_next_mtp": ((0, 16, 0), None),
    "qwen4_exp_mtp": ((0, 29, 0), None),
    "qwen3_5_mtp": ((0, 17, 0), None),
    "longcat_flash_mtp": ((0, 16, 0), None),
    "bailing_hybrid_v3_mtp": ((0, 28, 0), None),
    "minimax_m3_mtp": ((0, 24, 0), None),
    "bailing_hybrid_mtp": ((0, 25, 0), None),
    "mtp": ((0, 16, 0), None),
    "kimi_k3_mtp": ((0, 27, 0), None),
    "pangu_ultra_moe_mtp": ((0, 16, 0), None),
    "step3p5_mtp": ((0, 16, 0), None),
    "step5_mtp": ((0, 33, 0), None),
    "hy_v3_mtp": ((0, 20, 0), None),
    "hy_v4_mtp": ((0, 29, 0), None),
    "gemma4_mtp": ((0, 21, 0), None),
    "inkling_mtp": ((0, 26, 0), None),
    "glm5_next_mtp": ((0, 30, 0), None),
    "dflash": ((0, 20, 0), None),
    "ngram_gpu": ((0, 18, 0), None),
    "dspark": ((0, 25, 0), None),
}
# Keys that not every release has.
KEYS: dict[str, tuple[Release, Release | None]] = {
    "disable_by_batch_size": ((0, 16, 0), (0, 17, 0)),
    "speculative_token_tree": ((0, 16, 0), (0, 21, 0)),
    "use_local_argmax_reduction": ((0, 17, 0), None),
    "draft_load_config": ((0, 17, 0), None),
    "rejection_sample_method": ((0, 18, 0), None),
    "moe_backend": ((0, 19, 0), None),
    "attention_backend": ((0, 21, 0), None),
    "draft_sample_method": ((0, 21, 0), None),
    "use_heterogeneous_vocab": ((0, 25, 0), None),
    "kv_cache_dtype": ((0, 26, 0), None),
}
WITHOUT_MODEL = frozenset(
    {"ngram", "ngram_gpu", "suffix", "extract_hidden_states", "custom_class", "dspark"}
)
# Heads on a served model's hidden states.
_HEADS: dict[str, Release] = {
    "EagleLlamaForCausalLM": (0, 16, 0),
    "EagleLlama4ForCausalLM": (0, 16, 0),
    "EagleMiniCPMForCausalLM": (0, 16, 0),
    "Eagle3LlamaForCausalLM": (0, 16, 0),
    "LlamaForCausalLMEagle3": (0, 16, 0),
    "Eagle3Qwen2_5vlForCausalLM": (0, 16, 0),
    "Eagle3Qwen3vlForCausalLM": (0, 16, 0),
    "EagleMistralLarge3ForCausalLM": (0, 16, 0),
    "EagleDeepSeekMTPModel": (0, 16, 0),
    "Eagle3DeepseekV2ForCausalLM": (0, 18, 0),
    "Eagle3DeepseekV3ForCausalLM": (0, 18, 0),
    "DFlashDraftModel": (0, 20, 0),
    "Eagle3MiniMaxM2ForCausalLM": (0, 20, 0),
    "EagleCohereForCausalLM": (0, 21, 0),
    "EagleMistralForCausalLM": (0, 21, 0),
    "PEagleDraftModel": (0, 22, 0),
    "PeagleLlamaForCausalLM": (0, 22, 0),
    "Eagle3Qwen3ForCausalLM": (0, 24, 0),
    "PeagleQwen3ForCausalLM": (0, 24, 0),
    "DFlashLagunaForCausalLM": (0, 25, 0),
    "DFlash2DraftModel": (0, 28, 0),
    "DFlashMuseGlimmerAssistantModel": (0, 28, 0),
    "LiLiCorrDraftModel": (0, 31, 0),
    "DFlash2BeamDraftModel": (0, 33, 0),
    "DFlashQwen3XPressModel": (0, 33, 0),
}
_PREFIXES = {"eagle": "Eagle", "eagle3": "Eagle3", "dflash": "DFlash"}


class DraftClass(NamedTuple):
    """The class that hf_config_override names for a served model."""

    name: str
    """In the registry."""
    since: Release
    """First release that names it."""
    steps: Literal["declared", "or one", "or none", "one", "nested"] = "declared"
    """`n_predict`: what the config says, or 1 or 0 without it, or always 1; `nested`: before 0.30 a
    number inside text_config is not found."""


_DEEPSEEK = (
    DraftClass("DeepSeekMTPModel", (0, 16, 0)),
    DraftClass("DeepseekV32MTPModel", (0, 29, 0)),
)
_BY_TYPE: dict[str, tuple[DraftClass, ...]] = {
    "deepseek_v3": _DEEPSEEK[:1],
    "deepseek_v32": _DEEPSEEK,
    "glm_moe_dsa": _DEEPSEEK,
    "deepseek_v4": (DraftClass("DeepSeekV4MTPModel", (0, 20, 0)),),
    "pangu_ultra_moe": (DraftClass("OpenPanguMTPModel", (0, 16, 0)),),
    "ernie4_5_moe": (DraftClass("ErnieMTPModel", (0, 16, 0)),),
    "nemotron_h": (DraftClass("NemotronHMTPModel", (0, 17, 0)),),
    "nemotron_h_puzzle": (DraftClass("NemotronHMTPModel", (0, 19, 0)),),
    "qwen3_next": (DraftClass("Qwen3NextMTP", (0, 16, 0)),),
    "exaone_moe": (DraftClass("ExaoneMoeMTP", (0, 16, 0)),),
    "qwen3_5_moe": (DraftClass("Qwen3_5MoeMTP", (0, 17, 0), "nested"),),
    "qwen3_5_moe_text": (DraftClass("Qwen3_5MoeMTP", (0, 28, 0)),),
    "intern_s2_preview": (DraftClass("Qwen3_5MoeMTP", (0, 22, 0)),),
    "longcat_flash": (DraftClass("LongCatFlashMTPModel", (0, 16, 0), "or one"),),
    "step3p5": (DraftClass("Step3p5MTP", (0, 16, 0), "or none"),),
    "step3p7": (DraftClass("Step3p5MTP", (0, 23, 0), "or none"),),
    "hy_v3": (DraftClass("HYV3MTPModel", (0, 20, 0)),),
    "minimax_m3_vl": (DraftClass("MiniMaxM3MTP", (0, 24, 0), "or one"),),
    "bailing_hybrid": (DraftClass("BailingMoeV25MTPModel", (0, 25, 0)),),
    "inkling_mm_model": (DraftClass("InklingMTPModel", (0, 26, 0)),),
    "inkling_model": (DraftClass("InklingMTPModel", (0, 26, 0)),),
    "kimi_k3": (DraftClass("KimiK3MTPModel", (0, 27, 0)),),
    "dots3_note": (DraftClass("Dots3NoteMTPModel", (0, 28, 0), "or one"),),
    "hy_v4": (DraftClass("HYV4MTPModel", (0, 29, 0)),),
    "qwen4_exp": (DraftClass("Qwen4ExpMTP", (0, 29, 0)),),
    "qwen4_exp_text": (DraftClass("Qwen4ExpMTP", (0, 29, 0)),),
    "glm5_next": (DraftClass("Glm5NextMTPModel", (0, 30, 0)),),
    "step5": (DraftClass("Step5MTP", (0, 33, 0), "or one"),),
}
_BY_ARCHITECTURE: dict[str, tuple[DraftClass, ...]] = {
    "Glm4MoeForCausalLM": (DraftClass("Glm4MoeMTPModel", (0, 16, 0)),),
    "Glm4MoeLiteForCausalLM": (DraftClass("Glm4MoeLiteMTPModel", (0, 16, 0)),),
    "MiMoV2FlashForCausalLM": (DraftClass("MiMoV2MTPModel", (0, 21, 0), "one"),),
    "MiMoV2ForCausalLM": (DraftClass("MiMoV2MTPModel", (0, 21, 0), "one"),),
    "MiMoV2OmniForCausalLM": (DraftClass("MiMoV2OmniMTPModel", (0, 21, 0), "one"),),
    "MiniMaxM3SparseForConditionalGeneration": (DraftClass("MiniMaxM3MTP", (0, 24, 0), "or one"),),
    "BailingMoeV2_5ForCausalLM": (DraftClass("BailingMoeV25MTPModel", (0, 25, 0)),),
    "BailingMoeV3ForCausalLM": (DraftClass("BailingMoeV3MTPModel", (0, 28, 0)),),
    "Step3p5ForCausalLM": (DraftClass("Step3p5MTP", (0, 23, 0), "or none"),),
    "Step5ForCausalLM": (DraftClass("Step5MTP", (0, 33, 0), "or one"),),
}


@lru_cache(maxsize=256)
def draft_class(architecture: str, model_type: str, release: Release) -> DraftClass | None:
    """The class that drafts for a served model with its own MTP layers, or None without one."""
    known = (*_BY_ARCHITECTURE.get(architecture, ()), *_BY_TYPE.get(model_type, ()))
    held = [one for one in known if one.since <= release]
    return max(held, key=lambda one: one.since) if held else None


def knows_method(method: str, release: Release) -> bool:
    """Whether SpeculativeMethod has the value."""
    since, gone = METHODS.get(method, ((99,), None))
    return since <= release and (gone is None or release < gone)


@lru_cache(maxsize=64)
def methods(release: Release) -> tuple[str, ...]:
    """Values of SpeculativeMethod, in the order in which the release prints them."""
    return tuple(name for name in METHODS if knows_method(name, release))


def names_mtp(method: str | None) -> bool:
    """Whether a value means MTP layers, which are all one method to vLLM."""
    return method is not None and (method == "mtp" or method.endswith("_mtp"))


def head_class(method: str, architecture: str, release: Release) -> tuple[str, bool]:
    """The class that EAGLEConfig names for a draft, and whether the release has it."""
    prefix = _PREFIXES[method]
    marked = architecture.startswith(prefix)
    marked = marked or (method != "eagle" and architecture.endswith(prefix))
    marked = marked or (method == "dflash" and architecture == "LiLiCorrDraftModel")
    name = architecture if marked else f"{prefix}{architecture}"
    return name, _HEADS.get(name, (99,)) <= release
