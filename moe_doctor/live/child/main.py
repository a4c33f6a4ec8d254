"""The child's one job: a JSON question on stdin, one marked JSON line on stdout."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
import typing

from moe_doctor.live.child import building, emulated, stand_ins
from moe_doctor.live.child.recording import Recorder

MARKER = "moe-doctor-answer:"
"""Stands before the answer: libraries write to stdout as well."""


def main() -> None:
    """Answer the question on stdin."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    question = json.load(sys.stdin)
    # Whatever vLLM and its libraries print belongs on stderr.
    answer_fd = os.dup(1)
    os.dup2(2, 1)
    answer = ask(question)
    with os.fdopen(answer_fd, "w", encoding="utf-8") as stream:
        stream.write(MARKER + json.dumps(answer) + "\n")
    sys.stderr.flush()
    # Threads and exit hooks of libraries have nothing left to say.
    os._exit(0)


def ask(question: typing.Mapping[str, typing.Any]) -> dict[str, typing.Any]:
    """The whole answer: version, platform, notes, and one build per LoRA setting."""
    started = time.monotonic()
    emulated.cut_off()
    _hide(question.get("without") or [])
    extensions = emulated.MissingExtensions()
    sys.meta_path.append(extensions)
    emulated.idle_streams()
    vllm: typing.Any = importlib.import_module("vllm")
    version = str(vllm.__version__)
    notes: list[str] = []
    devices = int(question["devices"])
    machine = question.get("machine")
    if machine is not None and machine["platform"] == "cpu":
        emulated.use_cpu()
    elif machine is not None:
        emulation = emulated.Emulation(machine, devices)
        emulation.install(version)
        notes += emulation.notes
    platforms: typing.Any = importlib.import_module("vllm.platforms")
    platform = platforms.current_platform
    out: dict[str, typing.Any] = {
        "version": version,
        "platform": _platform(platform),
        "builds": [],
    }
    if platform.is_unspecified():
        out["notes"] = notes
        return out
    recorder = Recorder()
    recorder.install()
    stand_ins.install(devices)
    plain = building.plain_config(question["folder"])
    for lora in question["loras"]:
        arguments = dict(question["arguments"])
        if lora:
            arguments.update(question.get("lora_arguments") or {})
        build = building.Build(question["folder"], arguments, lora)
        out["builds"].append(building.run(build, recorder))
    if extensions.missing and machine is None:
        notes.append(f"compiled modules have no file here: {', '.join(extensions.missing[:3])}")
    out["notes"] = [*notes, *recorder.notes, *([plain] if plain else [])]
    out["elapsed_s"] = round(time.monotonic() - started, 3)
    return out


def _end_with(parent: int) -> None:
    """A parent that was killed cannot end its child: the child looks after itself."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _platform(platform: typing.Any) -> dict[str, typing.Any]:
    capability = None
    if platform.is_cuda():
        found = platform.get_device_capability()
        capability = None if found is None else [found.major, found.minor]
    name = platform.device_name if not platform.is_cuda() else platform.get_device_name()
    return {"class": type(platform).__name__, "name": str(name), "capability": capability}


class _Hidden:
    """The first finder: modules that count as absent."""

    def __init__(self, modules: typing.Sequence[str]) -> None:
        self._modules = tuple(modules)

    def find_spec(self, fullname: str, path: typing.Any, target: typing.Any = None) -> None:
        """Refuse a module of the list, and everything below it."""
        if any(fullname == one or fullname.startswith(one + ".") for one in self._modules):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


def _hide(modules: typing.Sequence[str]) -> None:
    if not modules:
        return
    import importlib.util

    hidden: typing.Any = _Hidden(modules)
    sys.meta_path.insert(0, hidden)
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> typing.Any:
        try:
            return real(name, package)
        except ModuleNotFoundError:
            if any(name == one or name.startswith(one + ".") for one in modules):
                return None
            raise

    importlib.util.find_spec = find_spec
