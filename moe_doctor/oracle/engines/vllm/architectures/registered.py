"""Which architectures each release's registry serves, and how it refuses the others.

The tables were read from model_executor/models/registry.py of every wheel: a line with the first
and the last release (`-` = before 0.16 or still there), then the names.
"""

from __future__ import annotations

from functools import lru_cache

from moe_doctor.core.eras import by_era
from moe_doctor.core.release import Release, Span, span
from moe_doctor.core.selection import EngineError
from moe_doctor.oracle.engines.vllm.architectures.transformers_classes import (
    CLASSES,
    MODEL_TYPES,
)

# config/model.py _SUFFIX_TO_DEFAULTS, in its order (0.16 to 0.33).
_SUFFIXES = (
    "ForCausalLM",
    "ForConditionalGeneration",
    "ChatModel",
    "LMHeadModel",
    "ForTextEncoding",
    "EmbeddingModel",
    "ForSequenceClassification",
    "ForTokenClassification",
    "ForAudioClassification",
    "ForImageClassification",
    "ForVideoClassification",
    "ClassificationModel",
    "ForRewardModeling",
    "RewardModel",
    "Model",
)


@by_era
def serving_class(architecture: str, release: Release) -> str | None:
    """`native`, `transformers` (the generic class), or None: the release refuses it.

    A name that the registry lacks is served by the generic class when Transformers has it; which
    version is installed is not fixed by the release, so the newest of its day counts.
    """
    if _holds(_parsed(_NATIVE), architecture, release):
        return "native"
    listed = _holds(_parsed(_SUPPORTED_BY_TRANSFORMERS), architecture, release)
    if listed or _holds(_parsed(CLASSES), architecture, release):
        return "transformers"
    if registered_name(architecture, release) != architecture:
        return "native"
    return None


@by_era
def registered_name(architecture: str, release: Release) -> str:
    """The registry's own name for `architecture`: itself, or the model that it adapts.

    A name that the registry lacks is tried with every other suffix, so that a classifier or an
    embedding model is its generative model with another head (registry.py _normalize_arch).
    """
    native = _parsed(_NATIVE)
    suffix = next((one for one in _SUFFIXES if architecture.endswith(one)), None)
    if suffix is None or _holds(native, architecture, release):
        return architecture
    names = (architecture.replace(suffix, other) for other in _SUFFIXES)
    return next((name for name in names if _holds(native, name, release)), architecture)


def refusal(
    architecture: str, model_type: str, release: Release, *, own_config: bool = False
) -> EngineError:
    """What ModelConfig raises for an architecture that `serving_class` does not know.

    `own_config`: the checkpoint brings its config class, so that its model type is no obstacle.
    """
    head = "1 validation error for ModelConfig\n  Value error, "
    last = _parsed(_UNTIL).get(architecture)
    loads = own_config or _holds(_parsed(MODEL_TYPES), model_type, release)
    if loads and last is not None and _was_removed(architecture, release):
        until = ".".join(map(str, last[0].since or ()))
        text = (
            f"Model architecture {architecture} was supported in vLLM until v{until}, "
            "and is not supported anymore."
        )
    elif loads:
        text = f"Model architectures ['{architecture}'] are not supported for now."
    else:
        text = (
            f"The checkpoint you are trying to load has model type `{model_type}` but "
            "Transformers does not recognize this architecture."
        )
    return EngineError("ValidationError", head + text)


@by_era
def first_release(architecture: str, release: Release) -> Release | None:
    """First release after `release` whose registry serves `architecture`, or None."""
    later = [
        each.since
        for spans in (_parsed(_NATIVE), _parsed(_SUPPORTED_BY_TRANSFORMERS), _parsed(CLASSES))
        for each in spans.get(architecture, ())
        if each.since is not None and each.since > release
    ]
    return min(later, default=None)


def last_release(architecture: str, release: Release) -> Release | None:
    """Last release before `release` that served `architecture`, or None."""
    earlier = [
        each.until
        for each in _parsed(_NATIVE).get(architecture, ())
        if each.until is not None and each.until < release
    ]
    return max(earlier, default=None)


def _was_removed(architecture: str, release: Release) -> bool:
    known = _parsed(_NATIVE).get(architecture)
    return known is None or last_release(architecture, release) is not None


def _holds(table: dict[str, tuple[Span, ...]], name: str, release: Release) -> bool:
    return any(each.holds(release) for each in table.get(name, ()))


@lru_cache(maxsize=16)
def _parsed(text: str) -> dict[str, tuple[Span, ...]]:
    """Spans by name, from lines `since until` each followed by indented lines of names."""
    table: dict[str, tuple[Span, ...]] = {}
    current = Span()
    for line in text.strip().splitlines():
        if line.startswith(" "):
            for name in line.split():
                table[name] = (*table.get(name, ()), current)
        else:
            since, until = line.split()
            current = span(since.strip("-"), until.strip("-"))
    return table


_NATIVE = """
- 0.22.1
    JAISLMHeadModel
- 0.23.0
    BambaForCausalLM Dots1ForCausalLM InternLM2VEForCausalLM InternLMForCausalLM
    MiniMaxForCausalLM MiniMaxM1ForCausalLM MiniMaxText01ForCausalLM
    MiniMaxVL01ForConditionalGeneration QWenLMHeadModel QwenVLForConditionalGeneration
    XverseForCausalLM
- 0.24.0
    AquilaForCausalLM AquilaModel AyaVisionForConditionalGeneration BaiChuanForCausalLM
    BaichuanForCausalLM GPTBigCodeForCausalLM Grok1ForCausalLM Grok1ModelForCausalLM
    MantisForConditionalGeneration MusicFlamingoForConditionalGeneration Starcoder2ForCausalLM
    Tarsier2ForConditionalGeneration TarsierForConditionalGeneration
- 0.25.1
    FuyuForCausalLM Olmo2ForCausalLM OlmoForCausalLM PersimmonForCausalLM TeleChatForCausalLM
- 0.26.0
    ExaoneMoEForCausalLM OuroForCausalLM Plamo2ForCausalLM
- 0.28.0
    ArcticForCausalLM ChameleonForConditionalGeneration Fairseq2LlamaForCausalLM
    FlexOlmoForCausalLM GritLM HCXVisionForCausalLM HunYuanDenseV1ForCausalLM
    HunYuanMoEV1ForCausalLM HunYuanVLForConditionalGeneration MPTForCausalLM MptForCausalLM
    Olmo3ForCausalLM RWForCausalLM StableLMEpochForCausalLM
- 0.31.0
    ArceeForCausalLM CwmForCausalLM GPTNeoXForCausalLM GlmForCausalLM Jais2ForCausalLM
    PhiForCausalLM SeedOssForCausalLM
- -
    AfmoeForCausalLM ApertusForCausalLM AriaForConditionalGeneration
    AudioFlamingo3ForConditionalGeneration BagelForConditionalGeneration BailingMoeForCausalLM
    BailingMoeV2ForCausalLM BeeForConditionalGeneration Blip2ForConditionalGeneration
    BloomForCausalLM ChatGLMForConditionalGeneration ChatGLMModel Cohere2ForCausalLM
    Cohere2VisionForConditionalGeneration CohereForCausalLM DbrxForCausalLM DeciLMForCausalLM
    DeepseekForCausalLM DeepseekOCR2ForCausalLM DeepseekOCRForCausalLM DeepseekV2ForCausalLM
    DeepseekV32ForCausalLM DeepseekV3ForCausalLM DeepseekVLV2ForCausalLM DotsOCRForCausalLM
    Eagle2_5_VLForConditionalGeneration Ernie4_5ForCausalLM Ernie4_5_MoeForCausalLM
    Ernie4_5_VLMoeForConditionalGeneration Exaone4ForCausalLM ExaoneForCausalLM
    FalconForCausalLM FalconH1ForCausalLM FalconMambaForCausalLM
    FunAudioChatForConditionalGeneration GLM4VForCausalLM GPT2LMHeadModel GPTJForCausalLM
    Gemma2ForCausalLM Gemma3ForCausalLM Gemma3ForConditionalGeneration Gemma3nForCausalLM
    Gemma3nForConditionalGeneration GemmaForCausalLM Glm4ForCausalLM Glm4MoeForCausalLM
    Glm4MoeLiteForCausalLM Glm4vForConditionalGeneration Glm4vMoeForConditionalGeneration
    GlmAsrForConditionalGeneration GlmMoeDsaForCausalLM GlmOcrForConditionalGeneration
    GptOssForCausalLM GraniteForCausalLM GraniteMoeForCausalLM GraniteMoeHybridForCausalLM
    GraniteMoeSharedForCausalLM GraniteSpeechForConditionalGeneration GteModel
    GteNewForSequenceClassification GteNewModel H2OVLChatModel IQuestCoderForCausalLM
    IQuestLoopCoderForCausalLM Idefics3ForConditionalGeneration InternLM2ForCausalLM
    InternLM3ForCausalLM InternS1ForConditionalGeneration InternS1ProForConditionalGeneration
    InternVLChatModel InternVLForConditionalGeneration IsaacForConditionalGeneration
    JambaForCausalLM KananaVForConditionalGeneration KeyeForConditionalGeneration
    KeyeVL1_5ForConditionalGeneration KimiK25ForConditionalGeneration KimiLinearForCausalLM
    KimiVLForConditionalGeneration LLaMAForCausalLM Lfm2ForCausalLM Lfm2MoeForCausalLM
    Lfm2VlForConditionalGeneration LightOnOCRForConditionalGeneration Llama4ForCausalLM
    Llama4ForConditionalGeneration LlamaForCausalLM Llama_Nemotron_Nano_VL
    LlavaForConditionalGeneration LlavaNextForConditionalGeneration
    LlavaNextVideoForConditionalGeneration LlavaOnevisionForConditionalGeneration
    LongcatFlashForCausalLM Mamba2ForCausalLM MambaForCausalLM MiDashengLMModel MiMoForCausalLM
    MiMoV2FlashForCausalLM MiniCPM3ForCausalLM MiniCPMForCausalLM MiniCPMO MiniCPMV
    MiniMaxM2ForCausalLM Mistral3ForConditionalGeneration MistralForCausalLM
    MistralLarge3ForCausalLM MixtralForCausalLM Molmo2ForConditionalGeneration MolmoForCausalLM
    NVLM_D NemotronForCausalLM NemotronHForCausalLM NemotronHPuzzleForCausalLM
    NemotronH_Nano_VL_V2 NemotronParseForConditionalGeneration NomicBertModel OPTForCausalLM
    OlmoeForCausalLM OpenCUAForConditionalGeneration OpenPanguVLForConditionalGeneration
    OrionForCausalLM Ovis Ovis2_5 PaddleOCRVLForConditionalGeneration
    PaliGemmaForConditionalGeneration PanguEmbeddedForCausalLM PanguProMoEV2ForCausalLM
    PanguUltraMoEForCausalLM Phi3ForCausalLM Phi3VForCausalLM Phi4MMForCausalLM
    PhiMoEForCausalLM PixtralForConditionalGeneration Plamo3ForCausalLM
    Qwen2AudioForConditionalGeneration Qwen2ForCausalLM Qwen2MoeForCausalLM
    Qwen2VLForConditionalGeneration Qwen2_5OmniForConditionalGeneration Qwen2_5OmniModel
    Qwen2_5_VLForConditionalGeneration Qwen3ASRForConditionalGeneration Qwen3ForCausalLM
    Qwen3MoeForCausalLM Qwen3NextForCausalLM Qwen3OmniMoeForConditionalGeneration
    Qwen3VLForConditionalGeneration Qwen3VLMoeForConditionalGeneration RForConditionalGeneration
    SkyworkR1VChatModel SmolVLMForConditionalGeneration SolarForCausalLM StableLmForCausalLM
    Step1ForCausalLM Step3TextForCausalLM Step3VLForConditionalGeneration Step3p5ForCausalLM
    StepVLForConditionalGeneration TeleChat2ForCausalLM TeleFLMForCausalLM UltravoxModel
    VoxtralForConditionalGeneration VoxtralRealtimeGeneration WhisperForConditionalGeneration
    Zamba2ForCausalLM
0.17.0 -
    AXK1ForCausalLM BailingMoeV2_5ForCausalLM FireRedASR2ForConditionalGeneration
    FunASRForConditionalGeneration Ovis2_6ForCausalLM Ovis2_6_MoeForCausalLM
    Qwen3ASRRealtimeGeneration Qwen3_5ForConditionalGeneration
    Qwen3_5MoeForConditionalGeneration
0.18.0 -
    HCXVisionV2ForCausalLM HyperCLOVAXForCausalLM MoonshotKimiaForCausalLM OlmoHybridForCausalLM
    SarvamMLAForCausalLM SarvamMoEForCausalLM
0.19.0 -
    CohereAsrForConditionalGeneration Gemma4ForCausalLM Gemma4ForConditionalGeneration
0.20.0 0.28.0
    Cheers CheersForConditionalGeneration FireRedLIDForConditionalGeneration
0.20.0 -
    DeepseekV4ForCausalLM Exaone4_5_ForConditionalGeneration
    Granite4VisionForConditionalGeneration HYV3ForCausalLM Ministral3ForCausalLM
    NemotronH_Nano_Omni_Reasoning_V3 NemotronH_Super_Omni_Reasoning_V3 Param2MoEForCausalLM
    Phi4ForCausalLMV Rnj1ForCausalLM TeleChat3ForCausalLM
0.21.0 -
    Cohere2MoeForCausalLM HfMoondream LagunaForCausalLM MiMoV2ForCausalLM MiMoV2OmniForCausalLM
    Moondream3ForCausalLM QianfanOCRForConditionalGeneration
0.22.0 -
    InternS2PreviewForConditionalGeneration MiniCPMV4_6ForConditionalGeneration
    OpenVLAForActionPrediction
0.22.1 0.31.0
    MellumForCausalLM
0.23.0 -
    Cosmos3ForConditionalGeneration Gemma4UnifiedForConditionalGeneration
    GraniteSpeechPlusForConditionalGeneration Step3p7ForConditionalGeneration
0.24.0 -
    DiffusionGemmaForBlockDiffusion HrmTextForCausalLM MiniMaxM3SparseForCausalLM
    MiniMaxM3SparseForConditionalGeneration MossAudioModel
0.25.0 -
    LlavaOnevision2ForConditionalGeneration MossTranscribeDiarizeForConditionalGeneration
    OpenAIPrivacyFilterForTokenClassification UnlimitedOCRForCausalLM
0.26.0 -
    Cosmos3EdgeForConditionalGeneration InklingForCausalLM InklingForConditionalGeneration
    LongcatFlashNgramForCausalLM
0.27.0 -
    ExaoneMoeForCausalLM KimiK3ForConditionalGeneration Qwen3_5ForCausalLM Qwen3_5MoeForCausalLM
0.28.0 -
    BailingMoeV3ForCausalLM Dots3NoteForCausalLM InternS2MobiusForConditionalGeneration
    MuseGlimmerForCausalLM MuseGlimmerForConditionalGeneration
0.29.0 -
    GraniteMoeSWAForCausalLM GraniteSWAForCausalLM HYV4ForCausalLM NemotronH_Omni_Reasoning_V3
    Qwen4ExpForCausalLM Qwen4ExpForConditionalGeneration
0.30.0 -
    BailingMoeV3VLForConditionalGeneration CohereCompassForConditionalGeneration
    DeepseekV41ForCausalLM DeepseekV4ForConditionalGeneration Glm5NextForCausalLM
    Glm5NextForConditionalGeneration K2HorizonForCausalLM
0.32.0 -
    ExaoneMoEForCausalLM MiniCPMV4_7ForConditionalGeneration
0.33.0 -
    AliceAIForCausalLM Alpamayo2Super BeamForCausalLM DomynEdgeForCausalLM DoryForCausalLM
    FlintForCausalLM MiniCPMOcrForConditionalGeneration MuseSparkForConditionalGeneration
    RadioMBartPrefixForCausalLM Step5ForCausalLM Step5ForConditionalGeneration
"""

_SUPPORTED_BY_TRANSFORMERS = """
- -
    Emu3ForConditionalGeneration SmolLM3ForCausalLM
0.25.0 -
    GPTBigCodeForCausalLM Starcoder2ForCausalLM
0.26.0 -
    Olmo2ForCausalLM OlmoForCausalLM
0.27.0 -
    VaultGemmaForCausalLM VibeVoiceAsrForConditionalGeneration
0.29.0 -
    FlexOlmoForCausalLM HunYuanDenseV1ForCausalLM HunYuanMoEV1ForCausalLM
    HunYuanVLForConditionalGeneration Olmo3ForCausalLM
0.30.0 -
    NanbeigeForCausalLM
0.32.0 -
    ArceeForCausalLM CwmForCausalLM GPTNeoXForCausalLM GlmForCausalLM Jais2ForCausalLM
    MellumForCausalLM PhiForCausalLM SeedOssForCausalLM
0.33.0 -
    Kolibri1ForCausalLM
"""

# _PREVIOUSLY_SUPPORTED_MODELS of 0.33: the first number is the last release that had them.
_UNTIL = """
0.9.2 -
    Phi3SmallForCausalLM
0.10.2 -
    BartForConditionalGeneration BartModel DonutForConditionalGeneration
    Florence2ForConditionalGeneration MBartForConditionalGeneration
    MllamaForConditionalGeneration MotifForCausalLM Phi4FlashForCausalLM
0.12.0 -
    Phi4MultimodalForCausalLM
0.22.0 -
    JAISLMHeadModel
0.23.0 -
    BaiChuanForCausalLM BaichuanForCausalLM BambaForCausalLM Dots1ForCausalLM
    ErnieForSequenceClassification ErnieForTokenClassification ErnieModel InternLM2VEForCausalLM
    InternLMForCausalLM MiniMaxForCausalLM MiniMaxM1ForCausalLM MiniMaxText01ForCausalLM
    MiniMaxVL01ForConditionalGeneration QWenLMHeadModel QwenVLForConditionalGeneration
    Tarsier2ForConditionalGeneration XverseForCausalLM
0.24.0 -
    AquilaForCausalLM AquilaModel AyaVisionForConditionalGeneration Grok1ForCausalLM
    Grok1ModelForCausalLM MantisForConditionalGeneration MusicFlamingoForConditionalGeneration
    TarsierForConditionalGeneration
0.25.0 -
    FuyuForCausalLM PersimmonForCausalLM TeleChatForCausalLM
0.26.0 -
    OuroForCausalLM Plamo2ForCausalLM
0.28.0 -
    ArcticForCausalLM ChameleonForConditionalGeneration Cheers CheersForConditionalGeneration
    Fairseq2LlamaForCausalLM FireRedLIDForConditionalGeneration GritLM HCXVisionForCausalLM
    MPTForCausalLM MptForCausalLM PrithviGeoSpatialMAE RWForCausalLM StableLMEpochForCausalLM
"""
