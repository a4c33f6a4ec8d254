"""Reading a JSON object that anyone may have written: bounded, never hanging, one clear error.

Bytes first (size limit, regular files only), then text (UTF-8), then JSON (depth and number length
are the decoder's own limits), then "is it an object". What the engine's reader takes is taken, and
what it refuses is refused: transformers reads config.json with `open(..., encoding="utf-8")` and
`json.loads` (configuration_utils.py, `_dict_from_json_file`), so NaN passes and a BOM does not.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import ModelError, ModelNotFoundError

MAX_BYTES = 16 << 20
"""Largest config that is read; the largest real one known is under 1 MiB."""

MAX_DEPTH = 64
"""Deepest nesting that is believed; real configs nest under 10."""


_REFUSED_TOO = "the engine's reader refuses the file as well: correct it there"
# What stands in a config.json that is none, by how it begins.
_BEGINNINGS = (
    ("version https://git-lfs", "a Git LFS pointer", "git lfs pull, or download the file itself"),
    ("<<<<<<<", "an unresolved merge", "resolve it"),
    ("<", "a web page or XML", "download the file itself"),
)


class JsonObject(dict[str, Any]):
    """The outermost object of a file, and the keys that its text gives twice."""

    repeated: tuple[str, ...] = ()
    """`"num_experts" (lines 3 and 9)` per key; the engine's reader and ours take the last value."""


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


@lru_cache(maxsize=64)
def decode_json_object(content: bytes, name: str) -> Mapping[str, Any]:
    """A JSON object from bytes; `name` stands in messages.

    The same bytes give the same object, which nobody changes: what follows from it is kept with it.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(
            f"{name} is not UTF-8 (byte {error.start}); expected JSON", _REFUSED_TOO
        ) from error
    if text.startswith("\ufeff"):
        raise ModelError(
            f"{name} begins with a byte order mark; expected JSON without one",
            f"{_REFUSED_TOO}, with sed -i '1s/^\\xEF\\xBB\\xBF//' FILE",
        )
    repeated: list[tuple[str, int]] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = JsonObject(pairs)
        if len(found) < len(pairs):
            counted = Counter(key for key, _ in pairs)
            repeated.extend((key, times) for key, times in counted.items() if times > 1)
        return found

    try:
        value = json.loads(text, object_pairs_hook=collect)
    except json.JSONDecodeError as error:
        raise _not_json(name, text, error) from error
    except RecursionError as error:
        raise ModelError(f"{name} is nested too deeply; expected a config file") from error
    except ValueError as error:  # an integer with more digits than Python converts
        raise ModelError(f"{name} holds a number that is too long to read") from error
    if not isinstance(value, JsonObject):
        kind = {list: "a list", str: "a string", type(None): "null"}.get(type(value), "a number")
        raise ModelError(f"{name} holds {kind}; expected a JSON object")
    if _deeper_than(value, MAX_DEPTH):
        raise ModelError(f"{name} is nested more than {MAX_DEPTH} deep; expected a config file")
    if repeated:
        value.repeated = tuple(_place(text, *each) for each in dict.fromkeys(repeated[:8]))
    return value


def _not_json(name: str, text: str, error: json.JSONDecodeError) -> ModelError:
    """Where the text stops being JSON, in the words of whoever wrote it."""
    if not text.strip():
        return ModelError(f"{name} is empty: is not JSON", "download or write it again")
    for start, what, remedy in _BEGINNINGS:
        if text.lstrip().startswith(start):
            return ModelError(f"{name} is not JSON but {what}", remedy)
    before = text[: error.pos].rstrip()
    position, reason = error.pos, error.msg
    # Python 3.13 names the comma itself, older ones what stands behind it.
    comma = before.removesuffix(",") if text[error.pos : error.pos + 1] in ("}", "]") else before
    if comma != before or error.msg.startswith("Illegal trailing comma"):
        position, reason = len(comma) if comma != before else error.pos, "trailing comma"
    elif text[error.pos : error.pos + 2] in ("//", "/*") or text[error.pos : error.pos + 1] == "#":
        reason = "a comment, which JSON does not have,"
    elif text[error.pos : error.pos + 1] == "'":
        reason = "a single quote instead of a double one"
    line = text.count("\n", 0, position) + 1
    column = position - text.rfind("\n", 0, position)
    return ModelError(f"{name} is not JSON: {reason} at line {line}, column {column}", _REFUSED_TOO)


def _place(text: str, key: str, times: int) -> str:
    """The key, with its lines where the text leaves no doubt which ones are meant."""
    shown = json.dumps(key[:60])
    found = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)]
    if len(found) != times:
        return shown
    lines = [str(text.count("\n", 0, start) + 1) for start in found]
    if len(set(lines)) == 1:
        return f"{shown} (line {lines[0]})"
    return f"{shown} (lines {', '.join(lines[:-1])} and {lines[-1]})"


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
