"""A backend's page: what its kernels take, as ranges of releases."""

from __future__ import annotations

from typing import Any

from moe_doctor.core.named import NamedTuple

TOPICS = (
    "devices",
    "activations",
    "formats",
    "parallel",
    "routing",
    "dispatch",
    "batch invariance",
    "LoRA",
    "other",
)
"""What a kernel is asked about, in the order of a page."""


class Condition(NamedTuple):
    """One thing that a kernel needs or takes."""

    topic: str
    """One of `TOPICS`."""
    text: str = ""
    """What it says, beside its items; empty where they say it all."""
    items: tuple[str, ...] = ()
    """What is taken, one by one, so that two releases can be compared."""


class Held(NamedTuple):
    """What holds from one release to another, both included."""

    since: str
    """First release."""
    until: str
    """Last release."""
    conditions: tuple[Condition, ...]
    """Of one topic; empty = the kernel is not asked about it."""


class Topic(NamedTuple):
    """One topic over all releases that have the kernel."""

    topic: str
    """One of `TOPICS`."""
    ranges: tuple[Held, ...]
    """Oldest first; neighbours differ."""


class KernelPage(NamedTuple):
    """One experts class."""

    name: str
    """The engine's class name."""
    source: str
    """Where the engine states it."""
    topics: tuple[Topic, ...]
    """In the order of `TOPICS`."""


class AskedBy(NamedTuple):
    """An oracle that has the backend."""

    oracle: str
    """`unquantized`, `fp8`, ..."""
    backend: str
    """The engine's name of the backend there."""
    option: str | None
    """Its value of `--moe-backend`; None where no value asks for it."""
    kernels: tuple[str, ...]
    """Classes in the order in which they are asked."""
    since: str
    """First release."""
    until: str
    """Last release."""


class BackendPage(NamedTuple):
    """What `explain` prints for a backend or a class."""

    name: str
    """As it was asked for."""
    accepted: tuple[str, str] | None
    """First and last release whose `--moe-backend` takes the name; None = it is no value."""
    asked_by: tuple[AskedBy, ...]
    """By oracle, then by release."""
    kernels: tuple[KernelPage, ...]
    """Every class behind it."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "accepted": None
            if self.accepted is None
            else {"since": self.accepted[0], "until": self.accepted[1]},
            "asked_by": [
                {**asked._asdict(), "kernels": list(asked.kernels)} for asked in self.asked_by
            ],
            "kernels": [
                {
                    "name": kernel.name,
                    "source": kernel.source,
                    "topics": [_topic(topic) for topic in kernel.topics],
                }
                for kernel in self.kernels
            ],
        }


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "topic": topic.topic,
        "ranges": [
            {
                "since": held.since,
                "until": held.until,
                "conditions": [
                    {"text": one.text, "items": list(one.items)} for one in held.conditions
                ],
            }
            for held in topic.ranges
        ],
    }
