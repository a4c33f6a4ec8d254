"""One module per command; each is imported when its command is called, and not before."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

COMMANDS = {
    "check": "Choose, prove and judge: the whole answer, with an exit code for CI.",
    "select": "Which backend the engine would choose, and why not the others.",
    "prove": "Run a tiny fused-MoE forward on one backend, or on all.",
    "env": "What this machine is, as a report to share.",
    "diff": "What an upgrade of the engine changes for a model.",
    "matrix": "Releases x GPUs x LoRA at one glance.",
    "explain": "What a finding's code means, or what a backend supports per release.",
}
"""Every command with its one-line summary, in the order of the help."""


def command_function(name: str) -> Callable[..., None]:
    """The function of a command: `moe_doctor.cli.commands.<name>.<name>`."""
    function: Callable[..., None] = getattr(import_module(f"{__name__}.{name}"), name)
    return function
