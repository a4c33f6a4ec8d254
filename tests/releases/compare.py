"""What a new vLLM release changes, as far as our tables say something about it.

    python -m tests.releases.compare OLD NEW [--cache FOLDER] [--format text|json] [--all]
    python -m tests.releases.compare OLD NEW --row

OLD and NEW are wheels, unpacked wheels, or releases, which pip downloads into the folder of
--cache. The sources are read and never imported. Exit codes: 0 = nothing that concerns the tables
changed, 1 = changes are listed, 2 = usage, or sources that cannot be read.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.releases.change import Change
from tests.releases.generate import registered_text, release_row, tuned_text
from tests.releases.kernels import compare_kernels
from tests.releases.places import unstated, with_places
from tests.releases.sources import SourcesError, open_sources
from tests.releases.surroundings import compare_surroundings
from tests.releases.tree import Tree
from tests.releases.watched import compare_models, compare_watched

SCHEMA = "moe-doctor.releases/1"
_ORDER = ("unstated", "appeared", "vanished", "changed", "moved")
_SECTIONS = (
    "oracle",
    "kernel",
    "quantization",
    "layer",
    "lora",
    "option",
    "variable",
    "availability",
    "model",
    "registry",
    "pin",
    "tuned file",
)


def compare(old: Tree, new: Tree) -> list[Change]:
    """Every change, those that no table of ours states first."""
    found = [
        *unstated(new),
        *compare_watched(old, new),
        *compare_kernels(old, new),
        *compare_models(old, new),
        *compare_surroundings(old, new),
    ]
    placed = [with_places(one) for one in found]
    return sorted(
        placed,
        key=lambda one: (
            one.kind != "unstated",
            _SECTIONS.index(one.section),
            _ORDER.index(one.kind),
            one.name,
        ),
    )


def render(changes: Sequence[Change], old: str, new: str, *, diffs: bool) -> str:
    """The changes as text."""
    lines = [f"vLLM {old} -> {new}: {len(changes)} changes"]
    counts = Counter(one.section for one in changes)
    lines.append("  " + ", ".join(f"{name} {counts[name]}" for name in _SECTIONS if counts[name]))
    heading = ""
    for one in changes:
        title = "in no table of ours" if one.kind == "unstated" else one.section
        if title != heading:
            lines += ["", f"== {title}"]
            heading = title
        where = f"  ({one.path.removeprefix('vllm/model_executor/layers/')})" if one.path else ""
        lines.append(f"{one.kind:9} {one.name}{where}")
        lines += [f"          {line}" for line in one.details]
        if diffs and one.diff:
            lines += [f"          | {line}" for line in one.diff.splitlines()]
        if one.edit:
            more = f", and {len(one.edit) - 5} more" if len(one.edit) > 5 else ""
            lines.append(f"          edit {', '.join(one.edit[:5])}{more}")
    return "\n".join(lines)


def to_dict(changes: Sequence[Change], old: str, new: str) -> dict[str, Any]:
    """The changes as JSON."""
    return {
        "schema": SCHEMA,
        "from": old,
        "to": new,
        "changes": [one.to_dict() for one in changes],
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        old, new = (Tree(open_sources(one, options.cache)) for one in (options.old, options.new))
        if options.row:
            print(release_row(new, options.date))
            return 0
        if options.tuned:
            print(tuned_text(new), end="")
            return 0
        if options.registered:
            print(registered_text(new), end="")
            return 0
        changes = compare(old, new)
    except SourcesError as error:
        print(f"compare: {error}", file=sys.stderr)
        return 2
    concerning = [one for one in changes if one.concerns]
    shown = changes if options.all else concerning
    versions = old.sources.version, new.sources.version
    if options.format == "json":
        print(json.dumps(to_dict(shown, *versions), indent=2))
    else:
        print(render(shown, *versions, diffs=not options.names))
    return 1 if concerning else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.releases.compare",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--cache", type=Path, help="folder for wheels that pip downloads")
    parser.add_argument("--format", choices=("text", "json"), default="text")
    parser.add_argument("--names", action="store_true", help="leave the diffs out")
    parser.add_argument("--all", action="store_true", help="also what does not concern the tables")
    parser.add_argument("--row", action="store_true", help="print NEW's row for releases.py")
    parser.add_argument("--date", default="", help="day of NEW for --row, where the wheel has none")
    parser.add_argument("--tuned", action="store_true", help="print tuned_files.txt with NEW in it")
    parser.add_argument(
        "--registered", action="store_true", help="print the tables of registered.py with NEW in it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
