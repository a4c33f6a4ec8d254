"""Which model classes lack `SupportsLoRA`, and what a release does about it.

Read from the class definitions of every wheel, bases followed across modules. A class that is
missing here has the interface.
"""

from __future__ import annotations

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release, span
from moe_doctor.core.selection import EngineError

# 0.33 config/lora.py verify_with_model_config; before, only load_lora_model looks, after the
# weights are loaded (v1/worker/lora_model_runner_mixin.py).
REFUSED_BY_CONFIG: Release = (0, 33, 0)
# Classes that read LoRAConfig.lora_extra_vocab_size, which no release here has, before 0.29.0.
READS_EXTRA_VOCABULARY = frozenset({"model_executor/models/exaone_moe.py"})
EXTRA_VOCABULARY_LAST: Release = (0, 29, 0)


@by_era
def supports_lora(architecture: str, release: Release) -> bool:
    """Whether the class that serves `architecture` implements `SupportsLoRA`."""
    section = ("", "")
    for line in _WITHOUT_LORA.strip().splitlines():
        if not line.startswith(" "):
            since, until = line.split()
            section = (since.strip("-"), until.strip("-"))
        elif architecture in line.split() and span(*section).holds(release):
            return False
    return True


def refused_by_config(architecture: str, model_id: str) -> EngineError:
    """What VllmConfig raises from 0.33 on."""
    return EngineError(
        "ValidationError",
        "1 validation error for VllmConfig\n"
        f"  Value error, LoRA is not supported for {architecture} ({model_id}). Supported models "
        "implement the `SupportsLoRA` interface. Run this model without `enable_lora`.",
    )


def refused_at_load(architecture: str) -> EngineError:
    """What the worker raises before 0.33, once the weights are loaded."""
    name = _CLASS_NAMES.get(architecture, architecture)
    return EngineError("ValueError", f"{name} does not support LoRA yet.")


_WITHOUT_LORA = """
- 0.17.1
    WhisperForConditionalGeneration
- 0.19.1
    Qwen3ASRForConditionalGeneration
- 0.22.1
    JAISLMHeadModel
- 0.23.0
    MiniMaxForCausalLM MiniMaxM1ForCausalLM MiniMaxText01ForCausalLM
    MiniMaxVL01ForConditionalGeneration
- 0.24.0
    AyaVisionForConditionalGeneration Starcoder2ForCausalLM TarsierForConditionalGeneration
- 0.25.1
    FuyuForCausalLM LlavaNextVideoForConditionalGeneration PersimmonForCausalLM
- 0.28.0
    ArcticForCausalLM ChameleonForConditionalGeneration HCXVisionForCausalLM
    LlavaNextForConditionalGeneration MPTForCausalLM MptForCausalLM
    Qwen3OmniMoeForConditionalGeneration RWForCausalLM StableLMEpochForCausalLM
- 0.30.0
    NemotronH_Nano_VL_V2
- 0.31.0
    GPTNeoXForCausalLM
- -
    AriaForConditionalGeneration BeeForConditionalGeneration BloomForCausalLM
    Cohere2VisionForConditionalGeneration DbrxForCausalLM DeepseekVLV2ForCausalLM
    FalconForCausalLM FalconMambaForCausalLM FunAudioChatForConditionalGeneration
    GPT2LMHeadModel GPTJForCausalLM Gemma3nForCausalLM Gemma3nForConditionalGeneration
    IQuestLoopCoderForCausalLM KananaVForConditionalGeneration KimiK25ForConditionalGeneration
    KimiLinearForCausalLM KimiVLForConditionalGeneration LlavaOnevisionForConditionalGeneration
    Mamba2ForCausalLM MambaForCausalLM MiDashengLMModel MiMoV2FlashForCausalLM
    NemotronParseForConditionalGeneration OrionForCausalLM Ovis Ovis2_5
    PaddleOCRVLForConditionalGeneration Phi3VForCausalLM Qwen2AudioForConditionalGeneration
    RForConditionalGeneration SkyworkR1VChatModel StableLmForCausalLM Step1ForCausalLM
    Step3TextForCausalLM Step3VLForConditionalGeneration Step3p5ForCausalLM
    StepVLForConditionalGeneration Zamba2ForCausalLM
0.17.0 0.19.1
    Qwen3ASRRealtimeGeneration
0.17.0 -
    BailingMoeV2_5ForCausalLM FireRedASR2ForConditionalGeneration FunASRForConditionalGeneration
    Ovis2_6ForCausalLM Ovis2_6_MoeForCausalLM
0.18.0 -
    HCXVisionV2ForCausalLM MoonshotKimiaForCausalLM
0.19.0 0.19.1
    Gemma4ForConditionalGeneration
0.19.0 -
    CohereAsrForConditionalGeneration
0.20.0 0.28.0
    DeepseekV4ForCausalLM FireRedLIDForConditionalGeneration
0.20.0 0.30.0
    NemotronH_Nano_Omni_Reasoning_V3 NemotronH_Super_Omni_Reasoning_V3
0.20.0 -
    Phi4ForCausalLMV
0.21.0 -
    Cohere2MoeForCausalLM HfMoondream MiMoV2ForCausalLM MiMoV2OmniForCausalLM
    Moondream3ForCausalLM
0.22.0 0.24.0
    MiniCPMV4_6ForConditionalGeneration
0.22.0 -
    OpenVLAForActionPrediction
0.23.0 -
    Step3p7ForConditionalGeneration
0.24.0 -
    DiffusionGemmaForBlockDiffusion HrmTextForCausalLM MiniMaxM3SparseForCausalLM
    MiniMaxM3SparseForConditionalGeneration
0.25.0 -
    LlavaOnevision2ForConditionalGeneration MossTranscribeDiarizeForConditionalGeneration
    OpenAIPrivacyFilterForTokenClassification
0.26.0 -
    Cosmos3EdgeForConditionalGeneration
0.27.0 -
    KimiK3ForConditionalGeneration
0.28.0 -
    BailingMoeV3ForCausalLM Dots3NoteForCausalLM
0.29.0 0.30.0
    NemotronH_Omni_Reasoning_V3
0.30.0 -
    BailingMoeV3VLForConditionalGeneration DeepseekV41ForCausalLM Glm5NextForCausalLM
0.33.0 -
    BeamForCausalLM DomynEdgeForCausalLM DoryForCausalLM FlintForCausalLM
    RadioMBartPrefixForCausalLM
"""

# Classes whose name is not the architecture's.
_CLASS_NAMES = {
    "BailingMoeV2_5ForCausalLM": "BailingMoeV25ForCausalLM",
    "DiffusionGemmaForBlockDiffusion": "DiffusionGemmaForConditionalGeneration",
    "FalconMambaForCausalLM": "MambaForCausalLM",
    "HfMoondream": "Moondream3ForCausalLM",
    "MiniMaxForCausalLM": "MiniMaxText01ForCausalLM",
    "MiniMaxM1ForCausalLM": "MiniMaxText01ForCausalLM",
    "MoonshotKimiaForCausalLM": "KimiAudioForConditionalGeneration",
    "MptForCausalLM": "MPTForCausalLM",
    "NemotronH_Nano_Omni_Reasoning_V3": "NemotronH_Nano_VL_V2",
    "NemotronH_Omni_Reasoning_V3": "NemotronH_Nano_VL_V2",
    "NemotronH_Super_Omni_Reasoning_V3": "NemotronH_Nano_VL_V2",
    "Ovis2_6ForCausalLM": "Ovis2_5",
    "Ovis2_6_MoeForCausalLM": "Ovis2_5",
    "Qwen3OmniMoeForConditionalGeneration": "Qwen3OmniMoeThinkerForConditionalGeneration",
    "RWForCausalLM": "FalconForCausalLM",
    "StableLMEpochForCausalLM": "StablelmForCausalLM",
    "StableLmForCausalLM": "StablelmForCausalLM",
}
