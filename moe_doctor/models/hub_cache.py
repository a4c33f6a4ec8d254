"""The Hugging Face cache on disk, read without importing huggingface_hub (which takes 0.2 s).

Layout (huggingface_hub "cache-system" reference): models--ORG--NAME/refs/REVISION holds a commit,
models--ORG--NAME/snapshots/COMMIT/FILE the files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import ModelNotFoundError
from moe_doctor.models.json_files import read_bytes, read_json_object
from moe_doctor.models.mistral_format import read_params
from moe_doctor.models.quantization import DECLARATION_KEYS
from moe_doctor.models.sections import find_sections
from moe_doctor.models.source import CONFIG_FILE, PARAMS_FILE, QUANT_FILE, ConfigFiles

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "*.bin")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub; None without a home."""
    direct = environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE")
    if direct:
        return Path(os.path.expandvars(direct))
    home = environment.get("HF_HOME")
    if home:
        return Path(os.path.expandvars(home)) / "hub"
    base = environment.get("XDG_CACHE_HOME")
    if base:
        return Path(base) / "huggingface" / "hub"
    try:
        return Path.home() / ".cache" / "huggingface" / "hub"
    except (RuntimeError, KeyError):  # no HOME and no entry in the password file
        return None


def read_cache(name: str, revision: str | None, directory: Path | None) -> ConfigFiles | None:
    """The cached config files of a model, or None when the cache does not hold them.

    Raises `ModelError` when a cached file is there and cannot be understood.
    """
    if directory is None:
        return None
    repository = directory / f"models--{name.replace('/', '--')}"
    commit = _commit_of(repository, revision or "main")
    if commit is None:
        return None
    snapshot = repository / "snapshots" / commit
    try:
        config = read_json_object(snapshot / CONFIG_FILE)
    except ModelNotFoundError:
        return _read_params(snapshot, commit)
    try:
        quant = read_json_object(snapshot / QUANT_FILE)
    except ModelNotFoundError:
        return ConfigFiles(config, None, "cache", commit, _is_whole(repository, commit, config))
    return ConfigFiles(config, quant, "cache", commit)


def _read_params(snapshot: Path, commit: str) -> ConfigFiles | None:
    """A repository that has Mistral's own format alone."""
    try:
        params = read_json_object(snapshot / PARAMS_FILE)
    except ModelNotFoundError:
        return None
    return ConfigFiles(read_params(params), None, "cache", commit)


def _is_whole(repository: Path, commit: str, config: Mapping[str, Any]) -> bool:
    """Whether the absence of hf_quant_config.json from a snapshot means that there is none.

    It does when config.json declares quantization itself, when the client has noted the absence
    in `.no_exist`, and when weights lie beside it (the whole repository was downloaded).
    """
    if find_sections(config).first(*DECLARATION_KEYS) is not None:
        return True
    if (repository / ".no_exist" / commit / QUANT_FILE).exists():
        return True
    snapshot = repository / "snapshots" / commit
    return any(next(snapshot.glob(pattern), None) for pattern in _WEIGHTS)


def _commit_of(repository: Path, revision: str) -> str | None:
    """Commit that a branch or tag stood at when it was cached; a commit is itself."""
    if _COMMIT.fullmatch(revision):
        return revision
    if ".." in revision or revision.startswith("/"):
        return None
    try:
        text = read_bytes(repository / "refs" / revision).decode("ascii", "replace").strip()
    except ModelNotFoundError:
        return None
    return text if _COMMIT.fullmatch(text) else None
