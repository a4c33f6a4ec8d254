"""What a child tells its parent: JSON lines on a pipe of their own, one per step.

stdout and stderr stay free for the noise of libraries. Kinds, in order of appearance:

    step         {"name"}                              what it is about to do
    ready        {"device", "implementation", "geometry", "versions"}
                                                       imports done, weights made
    case         {"name", "num_tokens", "relative_error", "tolerance", "elapsed_ms", "passed",
                  "outcome", "detail", "raised" where it was an exception}
    unavailable  {"reason"}                            cannot run here after all
    error        {"kind", "type", "message"}           kind: exception, out_of_memory, gpu
    done         {}                                    every case ran
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from moe_doctor.core.record import record

Event = dict[str, Any]
"""One line; `event` holds its kind."""


@record
class EventPipe:
    """The child's end."""

    descriptor: int
    """File descriptor inherited from the parent."""

    def send(self, event: str, **fields: Any) -> None:
        """Write one line at once, so that a crash right after loses nothing."""
        line = json.dumps({"event": event, **fields}) + "\n"
        data = line.encode()
        while data:
            data = data[os.write(self.descriptor, data) :]


def parse_events(lines: Iterable[bytes]) -> tuple[Event, ...]:
    """Whole lines that are events; a line cut short by a crash is left out."""
    events = []
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and "event" in event:
            events.append(event)
    return tuple(events)
