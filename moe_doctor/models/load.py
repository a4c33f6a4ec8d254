"""A model by name: local path, then Hugging Face cache, then hub, then catalogue.

The first source that knows the model answers, and `ModelSpec.source` says which one did.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import (
    DoctorError,
    FetchError,
    ModelError,
    ModelNotFoundError,
    NotMoEError,
)
from moe_doctor.core.kept import Kept
from moe_doctor.core.record import replace
from moe_doctor.core.spec import ModelSpec, ParseNote
from moe_doctor.models.beside import read_beside
from moe_doctor.models.json_files import JsonObject
from moe_doctor.models.local import read_local
from moe_doctor.models.overrides import merge_overrides
from moe_doctor.models.parse import parse_model
from moe_doctor.models.sections import find_sections
from moe_doctor.models.source import CONFIG_FILE, QUANT_FILE, ConfigFiles

KNOWN_DEADLINE_S = 3.0
"""Seconds for the hub when the catalogue could answer instead."""

DEFAULT_DEADLINE_S = 15.0
"""Seconds for the hub when nothing else could answer."""

_PARSED: Kept[tuple[Mapping[str, Any] | None, ModelSpec]] = Kept(64)


def load_model(
    name: str,
    *,
    revision: str | None = None,
    offline: bool = False,
    hf_overrides: Mapping[str, Any] | None = None,
    timeout_s: float = DEFAULT_DEADLINE_S,
) -> ModelSpec:
    """Find a model and understand its config.

    `name` is a directory, a config.json, or a Hugging Face id; `hf_overrides` are keys laid over
    config.json; `timeout_s` bounds all use of the network. Raises `ModelNotFoundError`,
    `ModelError` (found and not understood) or `FetchError` (exit 3: could not be fetched).
    """
    overrides = hf_overrides or {}
    files = read_local(name)
    if files is not None:
        return _parse(files, name, overrides)
    return _load_by_id(name, revision, offline, overrides, timeout_s)


def config_files(
    name: str,
    *,
    revision: str | None = None,
    hf_overrides: Mapping[str, Any] | None = None,
) -> ConfigFiles | None:
    """The files that `load_model` read, overrides laid over; never touches the network.

    None where no file is at hand because the bundled catalogue answered. Raises as `load_model`.
    """
    from moe_doctor.models.hub_cache import cache_directory, read_cache

    files = read_local(name)
    if files is None:
        files = read_cache(name, revision, cache_directory())
    if files is None or not hf_overrides:
        return files
    return replace(files, config=merge_overrides(files.config, hf_overrides))


def require_moe(model: ModelSpec, *, overridden: bool = False) -> ModelSpec:
    """The model itself; raises `NotMoEError` when it is dense, perhaps because of overrides."""
    if model.is_moe:
        return model
    kind = model.architecture or model.model_type or "a model without experts"
    laid_over = " with --hf-overrides laid over its config" if overridden else ""
    raise NotMoEError(
        f"{model.id}{laid_over} is a dense model ({kind}): it has no mixture-of-experts layers, "
        "so there is no MoE backend to choose"
    )


def _load_by_id(
    name: str,
    revision: str | None,
    offline: bool,
    overrides: Mapping[str, Any],
    timeout_s: float,
) -> ModelSpec:
    from moe_doctor.models.hub import is_offline

    offline = offline or is_offline()
    ends = time.monotonic() + timeout_s
    cached, broken = _from_cache(name, revision, offline, timeout_s)
    if cached is not None:
        return _parse(cached, name, overrides)
    failure: DoctorError
    if offline:
        failure = broken or FetchError(
            f"{name} is not in the Hugging Face cache, and the network is off",
            "run once without --offline and HF_HUB_OFFLINE, or name a local directory",
        )
    else:
        try:
            files = _from_hub(name, revision, ends, force=broken is not None)
        except (ModelNotFoundError, FetchError) as error:
            failure = error
        else:
            return _parse(files, name, overrides)
    return _from_catalogue(name, revision, overrides, failure, offline)


def _from_cache(
    name: str, revision: str | None, offline: bool, timeout_s: float
) -> tuple[ConfigFiles | None, ModelError | None]:
    """The cached files, or why a cached file cannot be used (the hub may have a better one)."""
    from moe_doctor.models.hub_cache import cache_directory, read_cache

    try:
        files = read_cache(name, revision, cache_directory())
    except ModelError as error:
        return None, error
    if files is None or files.is_complete or offline or files.revision is None:
        return files, None
    # config.json alone was cached: only the hub knows whether a quantization file belongs to it.
    from moe_doctor.models.hub import fetch_quant_file

    try:
        quant = fetch_quant_file(name, files.revision, deadline_s=min(KNOWN_DEADLINE_S, timeout_s))
    except (ModelNotFoundError, FetchError):
        return files, None
    return replace(files, hf_quant_config=quant), None


def _from_hub(name: str, revision: str | None, ends: float, *, force: bool) -> ConfigFiles:
    from moe_doctor.models.catalogue import find_in_catalogue
    from moe_doctor.models.hub import fetch_config_files

    left = max(0.5, ends - time.monotonic())
    if find_in_catalogue(name) is not None:
        left = min(left, KNOWN_DEADLINE_S)
    return fetch_config_files(name, revision, deadline_s=left, force=force)


def _from_catalogue(
    name: str,
    revision: str | None,
    overrides: Mapping[str, Any],
    failure: DoctorError,
    offline: bool,
) -> ModelSpec:
    """The catalogue's answer with a note on why it had to; else the failure itself."""
    from moe_doctor.models.catalogue import find_in_catalogue, nearest_names
    from moe_doctor.models.hub import HubRevisionError

    known = find_in_catalogue(name)
    if known is None or isinstance(failure, HubRevisionError):
        if isinstance(failure, ModelNotFoundError) and not isinstance(failure, HubRevisionError):
            nearest = nearest_names(name)
            if nearest:
                hint = f"nearest in the catalogue: {', '.join(nearest)}"
                raise ModelNotFoundError(failure.message, f"{hint}; {failure.hint}") from failure
        raise failure
    notes = list(known.notes)
    kind = "offline" if offline else "hub-unreachable"
    notes.append(ParseNote(kind, f"the bundled catalogue answered: {failure.message}"))
    if revision is not None:
        notes.append(
            ParseNote(
                "revision-not-checked",
                f"revision {revision!a} could not be looked at; the catalogue has one set of facts",
            )
        )
    if overrides:
        keys = ", ".join(sorted(map(str, overrides)))
        notes.append(
            ParseNote(
                "ignored-overrides",
                f"--hf-overrides ({keys[:200]}) needs config.json and was not applied",
            )
        )
    return replace(known, notes=tuple(notes))


def _parse(files: ConfigFiles, name: str, overrides: Mapping[str, Any]) -> ModelSpec:
    if overrides:
        model = _read(files, name, merge_overrides(files.config, overrides))
        # Engines lay them on after Transformers has read the words of its lists in the file.
        read = read_beside(find_sections(files.config))
        beside = model.beside._replace(uneven_list=read.uneven_list, odd_words=read.odd_words)
        return replace(model, beside=beside)
    # The same bytes decode to the same objects, so a caller who asks again finds the model parsed.
    rest = (name, files.source, files.revision)
    known = _PARSED.find(files.config, rest)
    if known is None or known[0] is not files.hf_quant_config:
        model = _read(files, name, files.config)
        known = _PARSED.keep(files.config, rest, (files.hf_quant_config, model))
    return known[1]


def _read(files: ConfigFiles, name: str, config: Mapping[str, Any]) -> ModelSpec:
    try:
        model = parse_model(
            config,
            id=name,
            source=files.source,
            revision=files.revision,
            hf_quant_config=files.hf_quant_config,
        )
    except ModelError as error:
        # The parser knows keys, not whose they are: of many models in one log, say which.
        raise ModelError(f"{name}: {error.message}", error.hint) from error
    repeated = tuple(
        ParseNote(
            "repeated-key",
            f"{file} gives {', '.join(content.repeated)} more than once; the last value counts",
        )
        for file, content in ((CONFIG_FILE, files.config), (QUANT_FILE, files.hf_quant_config))
        if isinstance(content, JsonObject) and content.repeated
    )
    return replace(model, notes=(*model.notes, *repeated)) if repeated else model
