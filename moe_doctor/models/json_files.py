"""Reading a JSON object that anyone may have written: bounded, never hanging, one clear error.

Bytes first (size limit, regular files only), then text (UTF-8, a BOM is allowed), then JSON
(depth and number length are the decoder's own limits), then "is it an object".
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import ModelError, ModelNotFoundError

MAX_BYTES = 16 << 20
"""Largest config that is read; the largest real one known is under 1 MiB."""

MAX_DEPTH = 64
"""Deepest nesting that is believed; real configs nest under 10."""


def read_json_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file.

    Raises `ModelNotFoundError` when there is no such file, `ModelError` when it cannot be read
    or is not a JSON object.
    """
    return decode_json_object(read_bytes(path), str(path))


def read_bytes(path: Path) -> bytes:
    """Content of a regular file of at most `MAX_BYTES`."""
    try:
        # Without O_NONBLOCK, opening a FIFO waits for a writer for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ModelNotFoundError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {_reason(error)}") from error
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise ModelError(f"{path} is a directory; expected a JSON file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is not a regular file; expected a JSON file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {_reason(error)}") from error
    finally:
        os.close(descriptor)
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} is larger than {MAX_BYTES >> 20} MiB; expected a config file")
    return content


def decode_json_object(content: bytes, name: str) -> Mapping[str, Any]:
    """A JSON object from bytes; `name` stands in messages."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ModelError(f"{name} is not UTF-8 (byte {error.start}); expected JSON") from error
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ModelError(
            f"{name} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise ModelError(f"{name} is nested too deeply; expected a config file") from error
    except ValueError as error:  # an integer with more digits than Python converts
        raise ModelError(f"{name} holds a number that is too long to read") from error
    if not isinstance(value, dict):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")
        raise ModelError(f"{name} holds {kind}; expected a JSON object")
    if _deeper_than(value, MAX_DEPTH):
        raise ModelError(f"{name} is nested more than {MAX_DEPTH} deep; expected a config file")
    return value


def _deeper_than(value: object, limit: int) -> bool:
    level: list[object] = [value]
    for _ in range(limit):
        level = [
            child
            for item in level
            if isinstance(item, (dict, list))
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, (dict, list))
        ]
        if not level:
            return False
    return True


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
