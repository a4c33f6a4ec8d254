"""Answers side by side: two releases for one deployment, and a grid over many releases and GPUs."""

from __future__ import annotations

from typing import Any

from moe_doctor import __version__
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.findings import Finding, Severity
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record
from moe_doctor.core.report import Engine
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec

DIFF_SCHEMA = "moe-doctor.diff/1"
MATRIX_SCHEMA = "moe-doctor.matrix/1"


class Change(NamedTuple):
    """One thing that is not the same in both releases."""

    kind: str
    """What it is: `backend`, `kernel`, `candidate`, `verdict`, `moe_backend`, `package`, ..."""
    name: str
    """Which one: a candidate, a value, a variable, a package; empty where there is one only."""
    before: str | None
    """As the first release has it; None = not there."""
    after: str | None
    """As the second release has it; None = not there."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return self._asdict()


@record
class AnswerChange:
    """Both answers for one kind of layer, with or without LoRA."""

    before: Selection
    """The first release's."""
    after: Selection
    """The second release's."""
    changes: tuple[Change, ...] = ()
    """Every difference; empty when nothing changes for these layers."""

    @property
    def moe_layers(self) -> int:
        """Index into `ModelSpec.moe_layers`."""
        return self.before.moe_layers

    @property
    def lora(self) -> bool:
        """Whether LoRA was on."""
        return self.before.lora

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "moe_layers": self.moe_layers,
            "lora": self.lora,
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "changes": [change.to_dict() for change in self.changes],
        }


@record
class Comparison:
    """What `diff` returns: every change between two releases."""

    model: ModelSpec
    """The model."""
    machine: MachineSnapshot
    """The machine, with the second release's packages where it is simulated."""
    before: Engine
    """The first release."""
    after: Engine
    """The second release."""
    deployment: Deployment = field(default_factory=Deployment)
    """The server that was asked about."""
    answers: tuple[AnswerChange, ...] = ()
    """LoRA off and on, per kind of layer."""
    surroundings: tuple[Change, ...] = ()
    """Option values, variables and pinned packages that came, went or changed."""
    findings: tuple[Finding, ...] = ()
    """Worst first."""
    fail_on: str = "error"
    """`error`, `warning` or `never`: what makes the exit code 1."""

    @property
    def changes_answers(self) -> bool:
        """Whether anything changes for this model on this machine."""
        return any(answer.changes for answer in self.answers)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 findings at or above `fail_on`."""
        limit = {"error": 0, "warning": 1, "never": -1}[self.fail_on]
        return int(any(finding.severity.rank <= limit for finding in self.findings))

    @property
    def verdict(self) -> str:
        """`pass`, `warn` or `fail`."""
        worst = min((finding.severity.rank for finding in self.findings), default=3)
        return {Severity.ERROR.rank: "fail", Severity.WARNING.rank: "warn"}.get(worst, "pass")

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON values; keys are only ever added within one schema number."""
        return {
            "schema": DIFF_SCHEMA,
            "command": "diff",
            "moe_doctor": __version__,
            "model": self.model.to_dict(),
            "machine": self.machine.to_dict(),
            "before": self.before._asdict(),
            "after": self.after._asdict(),
            "deployment": self.deployment.to_dict(),
            "changes_answers": self.changes_answers,
            "answers": [answer.to_dict() for answer in self.answers],
            "surroundings": [change.to_dict() for change in self.surroundings],
            "findings": [finding.to_dict() for finding in self.findings],
            "verdict": self.verdict,
            "exit_code": self.exit_code,
        }


class CellAnswer(NamedTuple):
    """What one kind of layer runs: a `Selection` without its trace."""

    moe_layers: int
    """Index into `ModelSpec.moe_layers`."""
    outcome: Outcome
    """Selected, refused by the engine, or not answered by these tables."""
    oracle: str | None = None
    """Which oracle answered."""
    backend: str | None = None
    """The engine's name of the chosen backend."""
    kernel: str | None = None
    """The experts class that runs."""
    trouble: str = ""
    """What the engine raises now or later, or what goes wrong in silence; empty = nothing."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {**self._asdict(), "outcome": self.outcome.value, "trouble": self.trouble or None}


@record
class Cell:
    """One model on one GPU, with or without LoRA, over consecutive releases that agree."""

    model: int
    """Index into `Matrix.models`."""
    gpu: int
    """Index into `Matrix.gpus`."""
    lora: bool
    """Whether LoRA was on."""
    releases: tuple[str, ...]
    """Releases in the matrix's order, at least one."""
    answers: tuple[CellAnswer, ...]
    """One per kind of layer."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "model": self.model,
            "gpu": self.gpu,
            "lora": self.lora,
            "releases": list(self.releases),
            "answers": [answer.to_dict() for answer in self.answers],
        }


@record
class Matrix:
    """What `matrix` returns: releases x GPUs x LoRA for one or more models."""

    models: tuple[ModelSpec | None, ...]
    """The models; None = a plain layer."""
    gpus: tuple[str, ...]
    """Names as asked."""
    engine: str
    """`vllm`."""
    releases: tuple[str, ...]
    """Oldest first."""
    cells: tuple[Cell, ...]
    """By model, GPU, LoRA, release."""
    deployment: Deployment = field(default_factory=Deployment)
    """The server that was asked about."""

    def to_dict(self) -> dict[str, Any]:
        """The matrix as JSON values; keys are only ever added within one schema number."""
        return {
            "schema": MATRIX_SCHEMA,
            "command": "matrix",
            "moe_doctor": __version__,
            "models": [None if model is None else model.to_dict() for model in self.models],
            "gpus": list(self.gpus),
            "engine": self.engine,
            "releases": list(self.releases),
            "deployment": self.deployment.to_dict(),
            "cells": [cell.to_dict() for cell in self.cells],
        }
