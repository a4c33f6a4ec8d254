"""What an answer without a model is about: the plain layer, and each scheme's commonest form."""

from __future__ import annotations

PLAIN_LAYER = "a plain layer: 128 experts, top 8, hidden 2048, expert 768, SwiGLU, bf16"
"""The layer of questions without a model."""

FORMS = {
    "fp8": "128 x 128 blocks",
    "nvfp4": "ModelOpt",
    "mxfp4": "gpt-oss-120b's layer",
    "mxfp8": "ModelOpt",
    "int8": "W8A8, by channel and token",
    "int_wna16": "W4A16, groups of 128",
    "w4a8": "W4A8 FP8, groups of 128",
    "w4a8_int8": "W4A8 INT8, groups of 128",
}
"""How each quantization scheme of a row is stored, in words; the order of the rows."""
