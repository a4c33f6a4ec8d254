"""Everything the checks may look at, gathered before they run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.proof import Proof
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.record import record
from moe_doctor.core.release import Release, parse_release
from moe_doctor.core.report import Engine
from moe_doctor.core.request import Request
from moe_doctor.core.selection import Outcome, Selection
from moe_doctor.core.spec import ModelSpec

if TYPE_CHECKING:
    from moe_doctor.live.consult import Live


class Refusal(NamedTuple):
    """What the release refuses before its oracle is asked."""

    moe_layers: int
    """Index into `ModelSpec.moe_layers`."""
    lora: bool
    """Whether LoRA was on."""
    stage: str
    """`args`, `config` or `model`."""
    reason: str
    """For a person: what is missing and since which release it is there."""


@record
class Case:
    """One run of the doctor, before it judges."""

    request: Request
    """What was asked."""
    machine: MachineSnapshot
    """The machine that was asked about."""
    here: MachineSnapshot
    """The machine that proofs ran on."""
    engine: Engine | None = None
    """Whose rules answered."""
    model: ModelSpec | None = None
    """The model."""
    selections: tuple[Selection, ...] = ()
    """The oracle's answers."""
    queries: tuple[MoEQuery | None, ...] = ()
    """The question behind each selection; None where none could be built."""
    refusals: tuple[Refusal, ...] = ()
    """Refusals before the oracle."""
    assumed: tuple[str, ...] = ()
    """What the translation to the engine's question had to assume."""
    proofs: tuple[Proof, ...] = ()
    """What ran."""
    live: Live | None = None
    """How asking the installed engine went; None where it was not asked."""

    @property
    def release(self) -> Release | None:
        """The engine's release as numbers."""
        return None if self.engine is None else parse_release(self.engine.version)

    @property
    def engine_name(self) -> str:
        """`vLLM 0.20.0`, for messages."""
        if self.engine is None:
            return "the engine"
        name = {"vllm": "vLLM"}.get(self.engine.name, self.engine.name)
        return f"{name} {self.engine.version}"

    @property
    def model_argument(self) -> str:
        """The model as the user typed it, quoted for a shell."""
        import shlex

        return shlex.quote(self.request.model) if self.request.model else "MODEL"

    def chosen(self, *, lora: bool | None = None) -> tuple[tuple[Selection, MoEQuery], ...]:
        """Selections that name a backend, with their questions."""
        return tuple(
            (selection, query)
            for selection, query in zip(self.selections, self.queries, strict=True)
            if selection.outcome is Outcome.SELECTED
            and query is not None
            and (lora is None or selection.lora is lora)
        )

    def layers_text(self, index: int) -> str:
        """`23 layers`, or `the layer` without a model."""
        if self.model is None:
            return "the layers"
        count = self.model.moe_layers[index].count
        return "1 layer" if count == 1 else f"{count} layers"
