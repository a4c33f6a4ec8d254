"""JSON -> MachineSnapshot, for files that anybody may have written.

Keys that are missing take the defaults, keys that are unknown are ignored (a newer release may
write more); a value of the wrong type, size or form is a UsageError that names the key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moe_doctor.core.errors import UsageError
from moe_doctor.core.machine import (
    Absent,
    Gpu,
    MachineSnapshot,
    Present,
    Probe,
    ProbeFailed,
    Toolkit,
)

PLATFORMS = ("cuda", "rocm", "xpu", "cpu", "tpu", "oot")

_SCHEMA = "moe-doctor.report/1"
_HINT = "write one with: moe-doctor env --format json --output machine.json"

# A snapshot of eight GPUs is some 6 KB, a whole report some 100 KB.
_MAX_FILE = 8 << 20
_MAX_TEXT = 4096
_MAX_ITEMS = 1024


def load_snapshot(path: str | Path) -> MachineSnapshot:
    """The snapshot in a file: bare, or under `machine` in a report; raises UsageError."""
    try:
        file = Path(path)
        if not file.exists():
            raise UsageError(f"snapshot {str(path)!r} does not exist", _HINT)
        if not file.is_file():
            raise UsageError(f"snapshot {str(path)!r} is not a regular file", _HINT)
        with file.open("rb") as stream:
            raw = stream.read(_MAX_FILE + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"snapshot {str(path)!r} cannot be read: {reason}", _HINT) from error
    if len(raw) > _MAX_FILE:
        raise UsageError(f"snapshot {str(path)!r} is larger than 8 MiB", _HINT)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        reason = "too deeply nested" if isinstance(error, RecursionError) else str(error)
        raise UsageError(f"snapshot {str(path)!r} is not JSON: {reason}", _HINT) from error
    try:
        return snapshot_from_dict(data)
    except UsageError as error:
        raise UsageError(f"snapshot {str(path)!r}: {error.message}", _HINT) from error


def snapshot_from_dict(data: Any) -> MachineSnapshot:
    """The inverse of `MachineSnapshot.to_dict`; also takes a report; raises UsageError."""
    top = _object("the file", data)
    if "machine" in top:
        schema = top.get("schema", _SCHEMA)
        if schema != _SCHEMA:
            raise UsageError(f"schema is {_show(schema)}; expected {_SCHEMA!r}")
        top = _object("machine", top["machine"])
    if "platform" not in top:
        raise UsageError(f"has no 'platform'; its keys are {ascii(sorted(top)[:8])[:120]}")
    platform = _text("platform", top["platform"])
    if platform not in PLATFORMS:
        raise UsageError(f"platform is {_show(platform)}; expected one of {', '.join(PLATFORMS)}")
    gpus = _list("gpus", top.get("gpus", []))
    packages = _mapping("packages", top.get("packages", {}))
    environment = _mapping("environment", top.get("environment", {}))
    return MachineSnapshot(
        platform=platform,
        gpus=tuple(_gpu(f"gpus[{index}]", gpu) for index, gpu in enumerate(gpus)),
        simulated=_flag("simulated", top.get("simulated", False)),
        driver=_probe("driver", top.get("driver")),
        cuda=_probe("cuda", top.get("cuda")),
        packages={name: _probe(f"packages.{name}", value) for name, value in packages.items()},
        toolkit=_toolkit(_object("toolkit", top.get("toolkit", {}))),
        environment={
            name: _text(f"environment.{name}", value) for name, value in environment.items()
        },
        python=_text("python", top.get("python", "")),
        os=_text("os", top.get("os", "")),
        cpu_arch=_text("cpu_arch", top.get("cpu_arch", "x86_64")),
        cpu_features=_texts("cpu_features", top.get("cpu_features", [])),
        memory_bytes=_whole("memory_bytes", top.get("memory_bytes")),
        notes=_texts("notes", top.get("notes", [])),
    )


def _gpu(key: str, data: Any) -> Gpu:
    gpu = _object(key, data)
    if "name" not in gpu:
        raise UsageError(f"{key} has no 'name'")
    return Gpu(
        name=_text(f"{key}.name", gpu["name"]),
        capability=_capability(f"{key}.capability", gpu.get("capability")),
        arch=_text_or_none(f"{key}.arch", gpu.get("arch")),
        memory_bytes=_whole(f"{key}.memory_bytes", gpu.get("memory_bytes")),
        bandwidth_bytes_per_s=_whole(
            f"{key}.bandwidth_bytes_per_s", gpu.get("bandwidth_bytes_per_s")
        ),
        shared_memory_bytes=_whole(f"{key}.shared_memory_bytes", gpu.get("shared_memory_bytes")),
        num_sms=_whole(f"{key}.num_sms", gpu.get("num_sms")),
    )


def _toolkit(data: Mapping[str, Any]) -> Toolkit:
    return Toolkit(
        nvcc=_probe("toolkit.nvcc", data.get("nvcc")),
        nvcc_path=_text_or_none("toolkit.nvcc_path", data.get("nvcc_path")),
        cuda_home=_probe("toolkit.cuda_home", data.get("cuda_home")),
        ninja=_probe("toolkit.ninja", data.get("ninja")),
        host_compiler=_probe("toolkit.host_compiler", data.get("host_compiler")),
    )


def _probe(key: str, value: Any) -> Probe:
    """null, a string, or {"failed": why}."""
    if value is None:
        return Absent()
    if isinstance(value, dict) and set(value) == {"failed"}:
        return ProbeFailed(_text(f"{key}.failed", value["failed"]))
    if isinstance(value, str):
        return Present(_text(key, value))
    raise UsageError(f"{key} is {_show(value)}; expected null, a version or {{'failed': reason}}")


def _capability(key: str, value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    match = re.fullmatch(r"([0-9]{1,2})\.([0-9])", _text(key, value))
    if match is None:
        raise UsageError(f"{key} is {_show(value)}; expected a form like '9.0'")
    return int(match.group(1)), int(match.group(2))


def _object(key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UsageError(f"{key} is {_show(value)}; expected an object")
    return value


def _mapping(key: str, value: Any) -> dict[str, Any]:
    mapping = _object(key, value)
    if len(mapping) > _MAX_ITEMS:
        raise UsageError(f"{key} has {len(mapping)} entries; expected at most {_MAX_ITEMS}")
    for name in mapping:
        _text(f"a name in {key}", name)
    return mapping


def _list(key: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise UsageError(f"{key} is {_show(value)}; expected a list")
    if len(value) > _MAX_ITEMS:
        raise UsageError(f"{key} has {len(value)} items; expected at most {_MAX_ITEMS}")
    return value


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{key} is {_show(value)}; expected a string")
    if len(value) > _MAX_TEXT:
        raise UsageError(f"{key} has {len(value)} characters; expected at most {_MAX_TEXT}")
    # Control characters would reach a terminal; lone surrogates cannot be written at all.
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise UsageError(f"{key} is {_show(value)}; expected text without control characters")
    return value


def _texts(key: str, value: Any) -> tuple[str, ...]:
    return tuple(_text(f"{key}[{index}]", item) for index, item in enumerate(_list(key, value)))


def _text_or_none(key: str, value: Any) -> str | None:
    return None if value is None else _text(key, value)


def _whole(key: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise UsageError(f"{key} is {_show(value)}; expected a whole number of at least 0")
    return value


def _flag(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{key} is {_show(value)}; expected true or false")
    return value


def _show(value: Any) -> str:
    """A value as an error message shows it: short, and plain ASCII."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return "a number of hundreds of digits"
    return ascii(value)[:60]
