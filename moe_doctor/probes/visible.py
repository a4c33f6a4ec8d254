"""CUDA_VISIBLE_DEVICES and its kin: which devices a process sees, in which order.

The rules of the CUDA C++ Programming Guide, "CUDA Environment Variables": a list of indices or UUID
prefixes; the first entry that names no device ends the list; one named twice leaves none.
"""

from __future__ import annotations

from collections.abc import Sequence


def visible_indices(value: str | None, uuids: Sequence[str]) -> tuple[int, ...]:
    """Indices into the driver's list that remain visible; None = the variable is not set.

    `uuids` holds one identifier for each device, in the driver's order.
    """
    if value is None:
        return tuple(range(len(uuids)))
    chosen: list[int] = []
    for entry in value.split(","):
        index = _resolve(entry.strip(), uuids)
        if index is None:
            break
        chosen.append(index)
    return () if len(set(chosen)) < len(chosen) else tuple(chosen)


def _resolve(entry: str, uuids: Sequence[str]) -> int | None:
    if entry.isascii() and entry.isdigit():
        index = int(entry[:9])
        return index if len(entry) < 10 and index < len(uuids) else None
    if not entry.upper().startswith(("GPU-", "MIG-")):
        return None
    matches = [i for i, uuid in enumerate(uuids) if uuid.lower().startswith(entry.lower())]
    return matches[0] if len(matches) == 1 else None
