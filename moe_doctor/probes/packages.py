"""Versions of installed packages by their metadata; nothing is imported.

Broken metadata is evidence, not absence: a package whose METADATA cannot be read, or names no
version, is `ProbeFailed`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.core.machine import Absent, Present, Probe, ProbeFailed
from moe_doctor.probes.package_table import PACKAGES, Package

if TYPE_CHECKING:
    from importlib.metadata import Distribution

__all__ = ["PACKAGES", "Package", "find_package", "probe_package", "probe_packages"]


def find_package(name: str) -> Package:
    """Row of a package by any of its names; raises UnknownNameError with the nearest."""
    folded = _fold(name)
    spellings = _by_spelling()
    if folded in spellings:
        return spellings[folded]

    close = nearest_names(folded[:64], spellings, n=6, cutoff=0.5)
    nearest = tuple(dict.fromkeys(spellings[spelling].name for spelling in close))
    raise UnknownNameError("package", name, nearest[:3] or tuple(p.name for p in PACKAGES[:5]))


def probe_packages(path: Sequence[str] | None = None) -> dict[str, Probe]:
    """Every package of the table, by canonical name; `path` stands in for `sys.path`."""
    search = list(sys.path if path is None else path)
    probes = {package.name: _probe_metadata(package, search) for package in PACKAGES}
    for package in PACKAGES:
        if isinstance(probes[package.name], Absent):
            probes[package.name] = _probe_files(package, search)
    return probes


def is_plainly_absent(name: str) -> bool:
    """Whether no folder on sys.path holds metadata of a distribution; cheap, may say False.

    importlib.metadata costs 20 ms to import; most machines can be answered without it.
    """
    stem = name.lower().replace("-", "_")
    for folder in sys.path:
        try:
            entries = [entry.name for entry in Path(folder or ".").iterdir()]
        except OSError:  # not there, or an archive
            continue
        if any(entry.lower().startswith((f"{stem}-", f"{stem}.egg")) for entry in entries):
            return False
    return True


def probe_package(name: str, path: Sequence[str] | None = None) -> Probe:
    """One package by any of its names; raises UnknownNameError when it is in no row."""
    package = find_package(name)
    search = list(sys.path if path is None else path)
    probe = _probe_metadata(package, search)
    return _probe_files(package, search) if isinstance(probe, Absent) else probe


@cache
def _by_spelling() -> dict[str, Package]:
    spellings: dict[str, Package] = {}
    for package in PACKAGES:
        for spelling in (package.name, *package.other_names, package.module):
            spellings.setdefault(_fold(spelling), package)
    return spellings


def _probe_metadata(package: Package, path: list[str]) -> Probe:
    failed: ProbeFailed | None = None
    for name in (package.name, *package.other_names):
        try:
            distribution = _distribution(name, path)
            if distribution is None:
                continue
            probe = _version(name, distribution)
        except Exception as error:  # any defect of an installation is evidence
            probe = ProbeFailed(f"{name}: {type(error).__name__}: {error}")
        if isinstance(probe, Present):
            return probe
        failed = failed or probe
    return failed or Absent()


def _distribution(name: str, path: list[str]) -> Distribution | None:
    from importlib.metadata import Distribution

    # A later entry of the path is only a fallback: Python would import the first.
    return next(iter(Distribution.discover(name=name, path=path)), None)


def _version(name: str, distribution: Distribution) -> Present | ProbeFailed:
    """The version from the header alone: torch's METADATA is 30 KB of read-me below it."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO")
    # An .egg-info that is a file holds the header itself.
    text = text or distribution.read_text("")
    if not text:
        return ProbeFailed(f"{name}: METADATA is missing or cannot be read")
    header = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    match = re.search(r"^Version:[ \t]*(\S+)[ \t]*$", header, flags=re.MULTILINE)
    if match is None:
        return ProbeFailed(f"{name}: METADATA names no version")
    return Present(match.group(1))


def _probe_files(package: Package, path: list[str]) -> Probe:
    """Present without a version when the files are there and no metadata is."""
    try:
        if package.bare_module and _has_module(package.module, path):
            return Present("")
        if package.vendored_in and _is_vendored(package.vendored_in, path):
            return Present("")
    except Exception as error:  # a broken path entry is evidence
        return ProbeFailed(f"{package.name}: {type(error).__name__}: {error}")
    return Absent()


def _has_module(module: str, path: list[str]) -> bool:
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(module, path)
    # A folder without __init__.py is a namespace, found for any folder of that name.
    return spec is not None and spec.origin is not None


def _is_vendored(folder: str, path: list[str]) -> bool:
    from pathlib import Path

    for entry in path:
        # The engine's own folder decides: the first `vllm` on the path is what is imported.
        if (Path(entry) / "vllm" / "__init__.py").is_file():
            return (Path(entry) / folder).is_dir()
    return False


def _fold(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip().lower())
