"""What a backend supports, release by release, computed from the tables that judge. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby

from moe_doctor.backends.describe import describe
from moe_doctor.backends.kernel import Kernel
from moe_doctor.backends.registry import FAMILIES, find_kernel, kernels_of
from moe_doctor.core.errors import UnknownNameError, nearest_names
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release, Span
from moe_doctor.core.support import (
    TOPICS,
    AskedBy,
    BackendPage,
    Condition,
    Held,
    KernelPage,
    Topic,
)
from moe_doctor.oracle.engines.vllm.layer_options import (
    moe_backends,
    normalize_moe_backend,
    takes_moe_backend,
)
from moe_doctor.oracle.engines.vllm.oracle import MoEOracle
from moe_doctor.oracle.engines.vllm.releases import RELEASES
from moe_doctor.oracle.engines.vllm.select import ORACLES, load_oracle
from moe_doctor.oracle.walk import Backend

_RELEASES = tuple((release.release, release.version) for release in RELEASES)


class _Use(NamedTuple):
    """A backend of an oracle over the releases in which it has one set of classes."""

    oracle: str
    value: str
    option: str | None
    kernels: tuple[str, ...]
    releases: tuple[Release, ...]


def backend_page(text: str) -> BackendPage:
    """The page of a `--moe-backend` value, a backend's name in the log, or a class.

    Raises UnknownNameError with the nearest names.
    """
    kernel = {name.lower(): name for name in kernel_names()}.get(text.strip().lower())
    if kernel is not None:
        uses = [use for use in _uses() if kernel in use.kernels]
        return BackendPage(kernel, None, _asked_by(uses), (_kernel_page(kernel, uses),))
    option = _folded(text.strip())
    uses = [use for use in _uses() if option in (use.option, _folded(use.value))]
    if not uses and option not in option_names():
        near = nearest_names(option[:64], option_names(), 3)
        raise UnknownNameError("backend or kernel", text.strip()[:80], tuple(near))
    names = dict.fromkeys(name for use in uses for name in use.kernels)
    pages = tuple(
        _kernel_page(name, [use for use in uses if name in use.kernels]) for name in names
    )
    held = [version for release, version in _RELEASES if option in moe_backends(release)]
    accepted = (held[0], held[-1]) if held else None
    return BackendPage(option, accepted, _asked_by(uses), pages)


@lru_cache(maxsize=1)
def option_names() -> tuple[str, ...]:
    """Every value of `--moe-backend` that any release has, `auto` left out."""
    names = dict.fromkeys(name for release, _ in _RELEASES for name in moe_backends(release))
    return tuple(name for name in names if name != "auto")


def kernel_names() -> tuple[str, ...]:
    """Every class that the tables state, by its name in the tables."""
    return tuple(name for names in FAMILIES.values() for name in names)


@lru_cache(maxsize=1)
def _uses() -> tuple[_Use, ...]:
    """Every backend of every oracle."""
    return tuple(use for name in ORACLES for use in _oracle_uses(name, load_oracle(name)))


def _oracle_uses(name: str, oracle: MoEOracle) -> Iterator[_Use]:
    # Two oracles may share an enum; an oracle is there where it has steps.
    present = [release for release, _ in _RELEASES if oracle.at(release)[1]]
    for row in oracle.backend_rows:
        held = [release for release in present if row.span.holds(release)]
        # What an explicit name leads to counts where the enum's row names no option.
        options = [(_option(oracle, row.backend, release), release) for release in held]
        for option, pairs in groupby(options, key=lambda pair: pair[0]):
            releases = (release for _, release in pairs)
            yield _Use(name, row.backend.value, option, row.backend.kernels, tuple(releases))


def _option(oracle: MoEOracle, backend: Backend, release: Release) -> str | None:
    if backend.option is not None and takes_moe_backend(backend.option, release):
        return backend.option
    named = (one for one in oracle.explicit_names if one.member == backend.member)
    held = (one.option for one in named if one.span.holds(release))
    return next((option for option in held if takes_moe_backend(option, release)), None)


def _folded(name: str) -> str:
    """`FlashInfer CUTLASS` as the option spells it."""
    return normalize_moe_backend(name).replace(" ", "_")


def _asked_by(uses: Sequence[_Use]) -> tuple[AskedBy, ...]:
    return tuple(
        AskedBy(use.oracle, use.value, use.option, use.kernels, *_bounds(use.releases))
        for use in uses
        if use.releases
    )


def _kernel_page(name: str, uses: Sequence[_Use]) -> KernelPage:
    kernel = find_kernel(name)
    used = {release for use in uses for release in use.releases}
    # A class that is asked by a step alone is in no enum: its rows say when it is there.
    held = [release for release, _ in _RELEASES if release in used or not uses]
    if not uses:
        held = [release for release in held if _stated(kernel, release)]
    conditions = {release: _conditions(name, release) for release in held}
    topics = tuple(
        Topic(topic, tuple(_ranges(held, conditions, topic)))
        for topic in TOPICS
        if any(one.topic == topic for every in conditions.values() for one in every)
        or topic in ("LoRA", "batch invariance", "parallel")
    )
    return KernelPage(name, kernel.source, topics)


def _conditions(name: str, release: Release) -> tuple[Condition, ...]:
    constraints = kernels_of(release)[name].constraints
    return tuple(one for constraint in constraints for one in describe(constraint))


def _ranges(
    held: Sequence[Release], conditions: dict[Release, tuple[Condition, ...]], topic: str
) -> Iterator[Held]:
    """Releases in a row that say the same of a topic; a gap in the releases ends a range."""
    order = [release for release, _ in _RELEASES]
    start = 0
    said = [
        tuple(dict.fromkeys(one for one in conditions[release] if one.topic == topic))
        for release in held
    ]
    for index, release in enumerate(held):
        following = order[order.index(release) + 1 :]
        if held[index + 1 : index + 2] == following[:1] and said[index + 1 :][:1] == [said[index]]:
            continue
        yield Held(*_bounds(held[start : index + 1]), said[index])
        start = index + 1


def _stated(kernel: Kernel, release: Release) -> bool:
    """Whether the rows reach a release: after the first start and before the last end."""
    spans: list[Span] = [row.span for row in kernel.rows]
    return any(span.holds(release) for span in spans)


def _bounds(releases: Sequence[Release]) -> tuple[str, str]:
    versions = dict(_RELEASES)
    return versions[releases[0]], versions[releases[-1]]
