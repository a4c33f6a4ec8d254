"""Models on disk: a directory with config.json, or the file itself."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import ModelError, ModelNotFoundError
from moe_doctor.models.json_files import read_json_object
from moe_doctor.models.mistral_format import read_params
from moe_doctor.models.source import CONFIG_FILE, PARAMS_FILE, QUANT_FILE, ConfigFiles

ADAPTER_FILE = "adapter_config.json"
GGUF_HINT = "GGUF weights hold their own config: name a folder with the model's config.json instead"
_SLIP = re.compile(r"^[a-z]+://|/$|^\s|\s$")
_HUB_ID = re.compile(r"[\w.-]+(?:/[\w.-]+)?", re.ASCII)


def is_hub_id(name: str) -> bool:
    """Whether a name has the form `org/name` (or the hub's old `name`) and nothing else."""
    return (
        bool(_HUB_ID.fullmatch(name))
        and len(name) <= 96 + 1 + 96
        and ".." not in name
        and "--" not in name
        and not any(part.startswith((".", "-")) for part in name.split("/"))
        and not name.endswith((".json", ".safetensors"))
    )


def read_local(name: str) -> ConfigFiles | None:
    """The config files at a path; None when there is nothing and the name may be a hub id.

    Raises `ModelNotFoundError` for a path that is not there, `ModelError` for a directory
    without config.json and for files that cannot be understood.
    """
    if not name.strip():
        raise ModelNotFoundError(
            "MODEL is empty; expected a directory, a config.json or a Hugging Face id",
            "a shell variable that is not set leaves nothing",
        )
    try:
        path = Path(name).expanduser()
        is_directory = path.is_dir()
        exists = is_directory or os.path.lexists(path)
        if not exists:
            path.lstat()
    except FileNotFoundError:
        exists = False
    except NotADirectoryError:
        exists = False
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ModelNotFoundError(
            f"{name[:200]!a} is not a path or a model id: {reason}",
            "name a directory with config.json, a config.json, or org/name",
        ) from error
    if not exists:
        if is_hub_id(name):
            return None
        inside = _id_inside(name)
        raise ModelNotFoundError(
            f"{name[:200]!a}: no such file or directory, and not a Hugging Face id",
            f"as an id: {inside}"
            if inside
            else "name a directory with config.json, a config.json, or org/name",
        )
    if is_directory:
        return _read_directory(path)
    if path.name.lower().endswith(".gguf"):
        raise ModelError(f"{path} is a GGUF file; expected a config.json", GGUF_HINT)
    if path.name == ADAPTER_FILE:
        raise ModelError(f"{path} describes no model", adapter_hint(path))
    config = read_json_object(path)
    if path.name == PARAMS_FILE:
        return ConfigFiles(read_params(config), None, "directory")
    return ConfigFiles(config, _quant_beside(path.parent), "directory")


def _id_inside(name: str) -> str:
    """`org/name` out of a page's address or of a name with a slash too many; else empty."""
    path = re.sub(r"^[a-z]+://([\w.-]+\.[a-z]+(:\d+)?/)?", "", name.strip())
    found = "/".join(path.strip("/").split("/")[:2])
    return found if "/" in found and is_hub_id(found) and _SLIP.search(name) else ""


def _read_directory(path: Path) -> ConfigFiles:
    config = path / CONFIG_FILE
    if not os.access(path, os.X_OK):
        raise ModelError(f"{path} may not be entered", "check the folder's permissions")
    params, has_config = path / PARAMS_FILE, os.path.lexists(config)
    if os.path.lexists(params) and (not has_config or _holds_consolidated(path)):
        rest = read_json_object(config) if has_config else {}
        return ConfigFiles(read_params(read_json_object(params), rest), None, "directory")
    if not has_config:
        raise ModelError(f"{path} has no {CONFIG_FILE}", _what_lies_there(path))
    return ConfigFiles(read_json_object(config), _quant_beside(path), "directory")


def _holds_consolidated(directory: Path) -> bool:
    """Whether weights lie there in Mistral's format, which vLLM then takes before the other one."""
    return next(directory.glob("consolidated*.safetensors"), None) is not None


def _what_lies_there(directory: Path) -> str:
    """What to name instead of a folder without config.json."""
    adapter = directory / ADAPTER_FILE
    if os.path.lexists(adapter):
        return adapter_hint(adapter)
    try:
        holds_gguf = any(path.suffix.lower() == ".gguf" for path in directory.iterdir())
    except OSError:
        holds_gguf = False
    if holds_gguf:
        return GGUF_HINT
    return "name the directory that holds the model's config.json"


def adapter_hint(path: Path) -> str:
    """What to ask instead of an adapter: the model that it was trained on, with --lora."""
    try:
        base = read_json_object(path).get("base_model_name_or_path")
    except (ModelError, ModelNotFoundError):
        base = None
    named = base if isinstance(base, str) and base.strip() else "the model that it was trained on"
    return f"it is a LoRA adapter: name its model, with --lora: {named}"


def _quant_beside(directory: Path) -> Mapping[str, Any] | None:
    """hf_quant_config.json in the same directory, when there is one."""
    path = directory / QUANT_FILE
    return read_json_object(path) if os.path.lexists(path) else None
