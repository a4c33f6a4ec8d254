"""The sources of one vLLM release: a wheel, an unpacked wheel, or a number that pip downloads."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import NamedTuple

_NUMBER = re.compile(r"\d+\.\d+\.\d+(?:\.post\d+)?$")


class SourcesError(Exception):
    """The sources cannot be read; the message says what was found and what was expected."""


class Sources(NamedTuple):
    """One release's files, read when they are asked for."""

    version: str
    """As its METADATA says it."""
    date: str
    """Day on which the wheel was packed, ISO 8601; empty where it cannot be known."""
    requires: tuple[str, ...]
    """Requires-Dist of the METADATA."""
    paths: frozenset[str]
    """Files, from the folder that holds `vllm`."""
    place: Path
    """The wheel or the folder."""
    members: Mapping[str, bytes] | None
    """The Python files of a wheel, already read; None for a folder."""

    def read(self, path: str) -> str:
        """A file's text; raises SourcesError when it is not UTF-8."""
        try:
            if self.members is not None:
                return self.members[path].decode("utf-8")
            return (self.place / path).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise SourcesError(f"{self.place}: {path} is not UTF-8: {error}") from None


def open_sources(named: str, cache: Path | None = None) -> Sources:
    """The sources that `named` means: a `.whl` file, a folder that holds `vllm`, or a release.

    A release is taken from `cache`, and downloaded there by pip when it is not in it yet. Raises
    SourcesError.
    """
    place = Path(named)
    if place.is_dir():
        return _open_folder(place)
    if place.is_file():
        return _open_wheel(place)
    if not _NUMBER.match(named):
        raise SourcesError(f"{named} is no wheel, no folder and no release such as 0.33.0")
    if cache is None:
        raise SourcesError(f"{named} has to be downloaded: name a folder for it with --cache")
    return _open_wheel(_download(named, cache))


def _open_folder(folder: Path) -> Sources:
    if not (folder / "vllm").is_dir():
        raise SourcesError(f"{folder} holds no folder vllm; an unpacked wheel was expected")
    infos = sorted(folder.glob("vllm-*.dist-info/METADATA"))
    if len(infos) != 1:
        raise SourcesError(f"{folder} has {len(infos)} vllm-*.dist-info/METADATA; expected one")
    version, requires = _metadata(infos[0].read_text("utf-8"), str(infos[0]))
    root = folder / "vllm"
    paths = (path.relative_to(folder).as_posix() for path in root.rglob("*") if path.is_file())
    return Sources(version, "", requires, frozenset(paths), folder, None)


def _open_wheel(wheel: Path) -> Sources:
    try:
        with zipfile.ZipFile(wheel) as archive:
            entries = {one.filename: one for one in archive.infolist() if not one.is_dir()}
            infos = [name for name in entries if re.match(r"vllm-[^/]*\.dist-info/METADATA$", name)]
            if len(infos) != 1 or "vllm/__init__.py" not in entries:
                raise SourcesError(f"{wheel} is no vLLM wheel: vllm/ or its METADATA is missing")
            text = archive.read(infos[0]).decode("utf-8", "replace")
            members = {
                name: archive.read(name)
                for name in entries
                if name.startswith("vllm/") and name.endswith(".py")
            }
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise SourcesError(f"{wheel} cannot be read as a wheel: {error}") from None
    version, requires = _metadata(text, f"{wheel}: {infos[0]}")
    year, month, day = entries["vllm/__init__.py"].date_time[:3]
    # zip archives begin in 1980: that day means that the builder did not say
    date = f"{year:04}-{month:02}-{day:02}" if year > 1980 else ""
    held = frozenset(name for name in entries if name.startswith("vllm/"))
    return Sources(version, date, requires, held, wheel, members)


def _metadata(text: str, where: str) -> tuple[str, tuple[str, ...]]:
    fields = HeaderParser().parsestr(text)
    version = fields.get("Version")
    if not version:
        raise SourcesError(f"{where} names no Version")
    return version.split("+")[0], tuple(fields.get_all("Requires-Dist") or ())


def _download(release: str, cache: Path) -> Path:
    cache.mkdir(parents=True, exist_ok=True)
    known = sorted(cache.glob(f"vllm-{release}-*.whl"))
    if known:
        return known[0]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--dest", str(cache), f"vllm=={release}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    known = sorted(cache.glob(f"vllm-{release}-*.whl"))
    if done.returncode or not known:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise SourcesError(f"pip could not download vllm=={release}: {' '.join(last)}")
    return known[0]
