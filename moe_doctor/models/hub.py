"""Config files from the Hugging Face hub, through its own client and within a real deadline.

Only config.json and hf_quant_config.json are asked for; never weights, never code. Messages are
written here and never quote the client's own, which can hold URLs with credentials.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from moe_doctor.core.errors import DoctorError, FetchError, ModelError, ModelNotFoundError
from moe_doctor.core.scratch import scratch_folder
from moe_doctor.models.hub_cache import cache_directory
from moe_doctor.models.json_files import MAX_BYTES, read_json_object
from moe_doctor.models.mistral_format import read_params
from moe_doctor.models.quantization import DECLARATION_KEYS
from moe_doctor.models.sections import find_sections
from moe_doctor.models.source import CONFIG_FILE, PARAMS_FILE, QUANT_FILE, ConfigFiles

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.ENOTDIR, errno.EDQUOT}
_Result = TypeVar("_Result")
_TRUE = {"1", "ON", "YES", "TRUE"}
_TOKEN_HINT = "set HF_TOKEN to a token of an account that has accepted the model's licence"


class HubRevisionError(ModelNotFoundError):
    """The repository is there, the revision is not."""


def is_offline(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids the network."""
    return any(
        environment.get(name, "").upper() in _TRUE
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


def endpoint_name(environment: Mapping[str, str] = os.environ) -> str:
    """Host of the hub, without credentials or path."""
    try:
        parts = urlsplit(environment.get("HF_ENDPOINT") or "https://huggingface.co")
        host, port = parts.hostname or "the hub", parts.port
    except ValueError:
        return "the hub"
    return f"{host}:{port}" if port else host


def fetch_config_files(
    name: str, revision: str | None, *, deadline_s: float, force: bool = False
) -> ConfigFiles:
    """Both config files of a model, or an error within `deadline_s` seconds.

    `force` downloads again what the cache already holds. Raises `ModelNotFoundError` (no such
    model, gated), `HubRevisionError`, or `FetchError` (the hub failed or could not be reached).
    """

    def work() -> ConfigFiles:
        found = _fetch(name, CONFIG_FILE, revision, deadline_s, force)
        if found is None:
            found = _fetch(name, PARAMS_FILE, revision, deadline_s, force)
            if found is not None:
                return ConfigFiles(read_params(found[0]), None, "hub", found[1])
            raise ModelNotFoundError(
                f"{name} has no {CONFIG_FILE} on {endpoint_name()}",
                "name a repository of a language model",
            )
        config, commit = found
        quant = None
        if not declares_quantization(config):
            found = _fetch(name, QUANT_FILE, commit, deadline_s, force)
            quant = None if found is None else found[0]
        return ConfigFiles(config, quant, "hub", commit)

    return _within(deadline_s, name, work)


def fetch_quant_file(name: str, commit: str, *, deadline_s: float) -> Mapping[str, Any] | None:
    """hf_quant_config.json alone, for a cache that may lack it; None when there is none."""

    def work() -> Mapping[str, Any] | None:
        found = _fetch(name, QUANT_FILE, commit, deadline_s, False)
        return None if found is None else found[0]

    return _within(deadline_s, name, work)


def declares_quantization(config: Mapping[str, Any]) -> bool:
    """Whether config.json says itself how weights are stored."""
    return find_sections(config).first(*DECLARATION_KEYS) is not None


def _within(deadline_s: float, name: str, work: Callable[[], _Result]) -> _Result:
    """Run in a daemon thread: a connect or a name lookup can block past every client timeout."""
    started = time.monotonic()
    # Imported here so that the thread never holds an import lock when it is given up.
    import huggingface_hub.errors
    import huggingface_hub.file_download  # noqa: F401

    box: list[_Result | BaseException] = []

    def run() -> None:
        # The client logs each retry with its URL, credentials included.
        logger = logging.getLogger("huggingface_hub")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            box.append(work())
        except BaseException as error:  # carried over to the caller's thread
            box.append(error)
        finally:
            logger.setLevel(level)

    thread = threading.Thread(target=run, name="moe-doctor-hub", daemon=True)
    thread.start()
    thread.join(max(0.5, deadline_s - (time.monotonic() - started)))
    if not box:
        raise FetchError(
            f"{endpoint_name()} did not answer for {name} within {deadline_s:.0f} s",
            "try again, raise --timeout, or name a local directory",
        )
    outcome = box[0]
    if isinstance(outcome, DoctorError):
        raise outcome
    if isinstance(outcome, BaseException):
        raise _explain(outcome, name) from outcome
    return outcome


def _fetch(
    name: str, file: str, revision: str | None, timeout_s: float, force: bool
) -> tuple[Mapping[str, Any], str] | None:
    """Content and commit of one file; None when the repository has no such file."""
    directory = cache_directory()
    if directory is not None:
        try:
            path = _download(name, file, revision, timeout_s, force, directory)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
        else:
            return None if path is None else (_read_fetched(path, name, file), path.parent.name)
    # A cache that cannot be written must not cost the answer.
    with scratch_folder() as scratch:
        path = _download(name, file, revision, timeout_s, force, scratch)
        return None if path is None else (_read_fetched(path, name, file), path.parent.name)


def _download(
    name: str, file: str, revision: str | None, timeout_s: float, force: bool, directory: Path
) -> Path | None:
    """Path of one file in a cache; None when the repository has no such file."""
    from huggingface_hub import hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    endpoint = (os.environ.get("HF_ENDPOINT") or "").rstrip("/") or None
    try:
        _check_size(hf_hub_url(name, file, revision=revision, endpoint=endpoint), file, timeout_s)
        with _without_progress_bars():
            path = hf_hub_download(
                name,
                file,
                revision=revision,
                cache_dir=directory,
                endpoint=endpoint,
                etag_timeout=timeout_s,
                force_download=force,
                library_name="moe-doctor",
            )
    except LocalEntryNotFoundError:  # a subclass of the next one: the hub could not be asked
        raise
    except EntryNotFoundError:
        return None
    return Path(path)


@contextmanager
def _without_progress_bars() -> Iterator[None]:
    """No bars for a download of a few kilobytes; afterwards the process is as it was."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _check_size(url: str, file: str, timeout_s: float) -> None:
    """Ask once, without retries: the download retries a failing hub for 20 s and more, and gives
    no way to bound the size."""
    from huggingface_hub import get_hf_file_metadata
    from huggingface_hub.errors import EntryNotFoundError

    try:
        size = get_hf_file_metadata(url, timeout=timeout_s).size
    except EntryNotFoundError:
        return  # the download finds the same and notes it in the cache
    if size is not None and size > MAX_BYTES:
        raise FetchError(
            f"{file} is larger than {MAX_BYTES >> 20} MiB on {endpoint_name()}",
            "name a local directory with the model's real config.json",
        )


def _read_fetched(path: Path, name: str, file: str) -> Mapping[str, Any]:
    try:
        return read_json_object(path)
    except (ModelError, ModelNotFoundError) as error:
        raise FetchError(
            f"{file} of {name} came from {endpoint_name()} broken: "
            f"{error.message.removeprefix(str(path)).strip()}",
            "try again; if it stays broken, tell the model's owner",
        ) from error


def _explain(error: BaseException, name: str) -> DoctorError:
    """The client's exception in our words, by class and status."""
    from huggingface_hub import errors

    hub = endpoint_name()
    chain = list(_chain(error))
    status = next((code for item in chain if (code := _status(item)) is not None), None)
    if isinstance(error, errors.GatedRepoError):
        return ModelNotFoundError(f"{name} is gated on {hub} (HTTP {status})", _TOKEN_HINT)
    if isinstance(error, errors.RevisionNotFoundError):
        return HubRevisionError(
            f"{name} has no such revision on {hub}", "give an existing branch, tag or commit"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = f"check the spelling; if it is private or gated, {_TOKEN_HINT}"
        return ModelNotFoundError(f"{name} is not on {hub} (HTTP {status})", hint)
    if isinstance(error, errors.HFValidationError):
        return ModelNotFoundError(f"{name!a} is not a model id", "name it as org/name")
    if status in (401, 403):
        return ModelNotFoundError(f"{hub} refused {name} (HTTP {status})", _TOKEN_HINT)
    if status == 429:
        return FetchError(
            f"{hub} limits this machine's requests (HTTP 429)",
            "wait a minute, or set HF_TOKEN to be counted by account",
        )
    if status is not None and status >= 400:
        return FetchError(f"{hub} answered HTTP {status} for {name}", "try again later")
    kind = type(chain[-1]).__name__
    return FetchError(
        f"{name} could not be fetched from {hub} ({kind})",
        "check the network, or name a local directory",
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and its causes, outermost first."""
    seen: BaseException | None = error
    for _ in range(8):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__


def _status(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None
