"""What a source hands over: the config files of one model, and who had them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.record import record

CONFIG_FILE = "config.json"
QUANT_FILE = "hf_quant_config.json"
PARAMS_FILE = "params.json"
"""Mistral's own format, in place of config.json."""


@record
class ConfigFiles:
    """config.json and, where the checkpoint has one, hf_quant_config.json."""

    config: Mapping[str, Any]
    """Content of config.json."""
    hf_quant_config: Mapping[str, Any] | None
    """Content of hf_quant_config.json; None when there is none."""
    source: str
    """`directory`, `cache` or `hub`."""
    revision: str | None = None
    """Commit, where the source knows it."""
    is_complete: bool = True
    """Whether a missing hf_quant_config is known to be missing, not merely not cached."""
