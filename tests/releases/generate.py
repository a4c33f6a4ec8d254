"""What a wheel alone can give: the row of releases.py, tuned_files.txt, the registry's tables."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Mapping

from moe_doctor.core.release import Release, Span, format_release, parse_release
from moe_doctor.oracle.engines.vllm import tuned
from moe_doctor.oracle.engines.vllm.architectures import registered
from moe_doctor.oracle.engines.vllm.releases import BY_VERSION, RELEASES
from tests.releases.sources import SourcesError
from tests.releases.surroundings import native_models, pins, registry, tuned_files
from tests.releases.tree import Tree

_ROW = ("torch", "flashinfer-python", "compressed-tensors")
_MORE = ("nvidia-cutlass-dsl", "humming-kernels", "tilelang")
_LISTED = "_TRANSFORMERS_SUPPORTED_MODELS"
_FORMER = "_PREVIOUSLY_SUPPORTED_MODELS"


def release_row(tree: Tree, date: str) -> str:
    """The release's row; a wheel's own day where `date` is empty. Raises SourcesError."""
    day = date or tree.sources.date
    if not day:
        raise SourcesError("the sources do not say the wheel's day: give it with --date")
    wanted = pins(tree)
    pinned = {name: _exact(wanted.get(name, "")) for name in (*_ROW, *_MORE)}
    missing = [name for name in _ROW if not pinned[name]]
    if missing:
        raise SourcesError(f"the METADATA pins no {', '.join(missing)}; the row needs it")
    numbers = [tree.sources.version, day, *(pinned[name] for name in _ROW)]
    more = [pinned[name] for name in _MORE]
    while more and not more[-1]:
        more.pop()
    return f"    _r({', '.join(_quoted(one) for one in (*numbers, *more))}),"


def tuned_text(tree: Tree) -> str:
    """tuned_files.txt with this release in it."""
    spans = {name: [held] for name, held in tuned._spans().items()}
    merged = _merge(spans, tuned_files(tree), tree.sources.version)
    return "".join(
        f"{name} {_bound(one.since)}-{_bound(one.until)}\n"
        for name in sorted(merged)
        for one in merged[name]
    )


def registered_text(tree: Tree) -> str:
    """The three tables at the end of registered.py with this release in them."""
    version = tree.sources.version
    listed = registry(tree).get(_LISTED, {})
    tables = (
        (
            "_NATIVE",
            registered._NATIVE,
            native_models(tree, registered._parsed(registered._NATIVE)),
        ),
        ("_SUPPORTED_BY_TRANSFORMERS", registered._SUPPORTED_BY_TRANSFORMERS, frozenset(listed)),
    )
    text = []
    for name, ours, names in tables:
        spans = {key: list(held) for key, held in registered._parsed(ours).items()}
        text.append(_table(name, _merge(spans, names, version)))
    # a name that a later release no longer lists is still refused so by the earlier ones
    former = {name: list(held) for name, held in registered._parsed(registered._UNTIL).items()}
    for name, last in registry(tree).get(_FORMER, {}).items():
        former[name] = [Span(parse_release(ast.literal_eval(last)))]
    series = ".".join(version.split(".")[:2])
    note = f"# {_FORMER} of {series}: the first number is the last release that had them.\n"
    text.append(note + _table("_UNTIL", former))
    return "\n".join(text)


def _merge(
    spans: dict[str, list[Span]], names: Iterable[str], version: str
) -> dict[str, list[Span]]:
    """The spans with one more release; a release that they cover already changes nothing."""
    release = parse_release(version)
    if release is None:
        raise SourcesError(f"{version} is no plain release such as 0.34.0")
    if version in BY_VERSION:
        return spans
    last = RELEASES[-1].release
    if release < last:
        raise SourcesError(f"{version} is older than {format_release(last)}, the newest of ours")
    held = {name for name, all_spans in spans.items() if any(one.holds(last) for one in all_spans)}
    wanted = set(names)
    for name in held - wanted:
        spans[name] = [*spans[name][:-1], Span(spans[name][-1].since, last)]
    for name in wanted - held:
        spans[name] = [*spans.get(name, []), Span(release)]
    return spans


def _table(name: str, spans: Mapping[str, list[Span]]) -> str:
    sections: dict[tuple[str, str], list[str]] = {}
    for key, all_spans in spans.items():
        for one in all_spans:
            bounds = _bound(one.since) or "-", _bound(one.until) or "-"
            sections.setdefault(bounds, []).append(key)
    lines = [f'{name} = """']
    for bounds in sorted(sections, key=_age):
        lines.append(" ".join(bounds))
        names = " ".join(sorted(sections[bounds]))
        indent = "    "
        lines += textwrap.wrap(
            names, 96, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join([*lines, '"""', ""])


def _age(bounds: tuple[str, str]) -> tuple[Release, Release]:
    return parse_release(bounds[0]) or (0, 0, 0), parse_release(bounds[1]) or (9999, 0, 0)


def _bound(release: Release | None) -> str:
    return format_release(release) if release is not None else ""


def _exact(requirement: str) -> str:
    return requirement[2:].strip() if requirement.startswith("==") else ""


def _quoted(text: str) -> str:
    return f'"{text}"'
