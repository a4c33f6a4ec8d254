"""Values of the engine's options that no release has: a slip of the pen, not an engine's refusal.

A value that another release has is not one: the engine's own refusal answers then.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UnknownNameError

# vLLM config/model.py, ModelDType, 0.16.0 to 0.33.0
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")
# vLLM config/speculative.py, SpeculativeMethod, 0.16.0 to 0.33.0
_SPECULATIVE = (
    "bailing_hybrid_mtp",
    "bailing_hybrid_v3_mtp",
    "custom_class",
    "deepseek_mtp",
    "dflash",
    "dots3_note_mtp",
    "draft_model",
    "dspark",
    "eagle",
    "eagle3",
    "ernie_mtp",
    "exaone4_5_mtp",
    "exaone_moe_mtp",
    "extract_hidden_states",
    "gemma4_mtp",
    "glm4_moe_lite_mtp",
    "glm4_moe_mtp",
    "glm5_next_mtp",
    "glm_ocr_mtp",
    "hy_v3_mtp",
    "hy_v4_mtp",
    "inkling_mtp",
    "kimi_k3_mtp",
    "longcat_flash_mtp",
    "medusa",
    "mimo_mtp",
    "mimo_v2_mtp",
    "minimax_m3_mtp",
    "mlp_speculator",
    "mtp",
    "nemotron_h_mtp",
    "ngram",
    "ngram_gpu",
    "pangu_ultra_moe_mtp",
    "qwen3_5_mtp",
    "qwen3_next_mtp",
    "qwen4_exp_mtp",
    "step3p5_mtp",
    "step5_mtp",
    "suffix",
)


def refuse_unknown_method(speculative_config: Mapping[str, Any]) -> None:
    """The same for `method` of a `--speculative-config`."""
    method = speculative_config.get("method")
    if method is None or method in _SPECULATIVE:
        return
    shown = method if isinstance(method, str) else repr(method)
    nearest = tuple(get_close_matches(shown[:64], _SPECULATIVE, 3, 0.5))
    hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
    known = ", ".join(_SPECULATIVE)
    raise UnknownNameError(
        "--speculative-config method", shown[:80], nearest, f"{hint}known: {known}"
    )


def refuse_unknown_values(deployment: Deployment) -> None:
    """Raise UnknownNameError with the nearest names and the list for a value of no release."""
    given = {
        "--moe-backend": deployment.moe_backend.lower().replace("-", "_"),
        "--all2all-backend": deployment.all2all_backend,
        "--quantization": deployment.quantization,
        "--dtype": deployment.dtype.lower(),
    }
    asked = {flag: value for flag, value in given.items() if value and value != "auto"}
    if not asked:
        return  # the common case must not pay for the tables
    known = _known()
    for flag, value in asked.items():
        if value.lower() in known[flag]:
            continue
        nearest = tuple(get_close_matches(value[:64], known[flag], 3, 0.5))
        hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
        values = ", ".join(sorted(known[flag]))
        raise UnknownNameError(f"{flag} value", value[:80], nearest, f"{hint}known: {values}")


def _known() -> dict[str, tuple[str, ...]]:
    """Every value that any release takes, by flag."""
    from moe_doctor.oracle.engines.vllm.layer_options import all2all_backends, moe_backends
    from moe_doctor.oracle.engines.vllm.methods.names import known_methods
    from moe_doctor.oracle.engines.vllm.releases import RELEASES

    releases = [one.release for one in RELEASES]
    found = {
        flag: tuple(dict.fromkeys(value for release in releases for value in values(release)))
        for flag, values in (
            ("--moe-backend", moe_backends),
            ("--all2all-backend", all2all_backends),
            ("--quantization", known_methods),
        )
    }
    return {**found, "--dtype": _DTYPES}
