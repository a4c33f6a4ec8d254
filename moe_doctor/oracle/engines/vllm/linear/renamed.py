"""What a class's hf_to_vllm_mapper makes of the lists of a declaration.

Sources: apply_vllm_mapper of each quantization config, WeightsMapper (models/utils.py) and the
mappers of the model classes, releases 0.16.0 to 0.33.0. Prefixes are spelled both ways by the
callers; pieces inside a path are renamed here. compressed-tensors leaves expressions as they are,
other methods rename them too where they have the whole piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.record import replace
from moe_doctor.core.spec import QuantSpec

_Pieces = tuple[tuple[str, str], ...]


def rename_entries(spec: QuantSpec, pieces: _Pieces) -> QuantSpec:
    """The declaration with its list, its groups' targets and AutoRound's entries renamed."""
    details = dict(spec.details)
    groups, extra = details.get("config_groups"), details.get("extra_config")
    if isinstance(groups, Mapping):
        details["config_groups"] = {
            name: _rename_targets(group, pieces) for name, group in groups.items()
        }
    if isinstance(extra, Mapping):
        details["extra_config"] = {_rename(str(key), pieces): one for key, one in extra.items()}
    rename = _rename_path if spec.method == "compressed-tensors" else _rename
    ignore = tuple(rename(entry, pieces) for entry in spec.ignore)
    return replace(spec, ignore=ignore, details=details)


def _rename_targets(group: Any, pieces: _Pieces) -> Any:
    targets = group.get("targets") if isinstance(group, Mapping) else None
    if not isinstance(targets, (list, tuple)):
        return group
    return {**group, "targets": [_rename_path(str(target), pieces) for target in targets]}


def _rename_path(entry: str, pieces: _Pieces) -> str:
    return entry if entry.startswith("re:") else _rename(entry, pieces)


def _rename(entry: str, pieces: _Pieces) -> str:
    for before, after in pieces:
        entry = entry.replace(before, after)
    return entry
