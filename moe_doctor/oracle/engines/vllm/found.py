"""What was found out before, and what it was found out about: a machine, a layer in a deployment.

Both live as long as the machine's and the model's descriptions that they belong to are in use.
"""

from __future__ import annotations

from functools import partial

from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.alike import NOT_KNOWN
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.eras import AlikeByEra, ByEra
from moe_doctor.core.kept import Interned, Kept
from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.core.spec import ModelSpec
from moe_doctor.oracle.engines.vllm.asked import Asked, ask_layer
from moe_doctor.oracle.engines.vllm.facts import make_facts
from moe_doctor.oracle.engines.vllm.interned import one_query
from moe_doctor.oracle.engines.vllm.layers import Built, EngineRefusal, build_both
from moe_doctor.oracle.engines.vllm.methods.outcome import OracleCall
from moe_doctor.oracle.engines.vllm.select import ORACLES, Program, find_program, situate
from moe_doctor.oracle.engines.vllm.setting import Setting, settings_of


class Place(NamedTuple):
    """A machine as one release sees it."""

    machine: MachineSnapshot
    """The machine."""
    release: Release
    """The release."""
    facts: Facts
    """What its oracles may ask."""
    settings: tuple[Setting, Setting]
    """What it looks at before, without adapters and with them."""
    programs: dict[str, Program]
    """Its oracles here, by name."""

    def program(self, name: str) -> Program:
        """One of its oracles."""
        found = self.programs.get(name)
        if found is None:
            environment = self.machine.environment
            found = find_program(name, self.facts, self.release, environment)
            self.programs[name] = found
        return found


class Ready:
    """A layer that is built as far as its oracle, with its questions as they were put before."""

    __slots__ = ("_plain", "_with_lora", "asked", "only")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        """How it is built."""
        self.only = _only_call(asked)
        """What its oracle is asked, where nothing but that oracle's answer decides."""
        self._plain: dict[str, ByEra[Situation]] = {}
        self._with_lora: dict[str, ByEra[Situation]] = {}

    def situation(self, call: OracleCall, arch: str, release: Release, *, lora: bool) -> Situation:
        """The question to the oracle, with or without adapters, on GPUs of one architecture.

        `call` is what the layer asks, or what its checkpoint's own method asks before.
        """
        if call.quant is None:
            arch = ""  # only formats are printed in another way on another architecture
        where = arch if call is self.asked.call else f"stored {arch}"
        situations = self._with_lora if lora else self._plain
        known = situations.get(where)
        if known is None:
            known = situations[where] = ByEra()
        return known.ask(release, _situate, call, arch, lora)


class Layer:
    """One kind of a model's layers in one deployment."""

    __slots__ = ("_built", "_known", "_which")

    def __init__(self, model: ModelSpec, index: int, deployment: Deployment) -> None:
        self._which = model, index, deployment
        self._built: AlikeByEra[Setting, Built] = AlikeByEra()
        self._known: AlikeByEra[Setting, Ready | EngineRefusal] = AlikeByEra()

    def ask(self, setting: Setting, release: Release) -> Ready | EngineRefusal:
        """What it comes to before its oracle."""
        known = self._known.find(setting, release)
        return self._known.ask(setting, release, self._ask) if known is NOT_KNOWN else known

    def _ask(self, setting: Setting, release: Release) -> Ready | EngineRefusal:
        asked = ask_layer(*self._which, release, setting, self._build)
        return asked if isinstance(asked, EngineRefusal) else Ready(asked)

    def _build(self, setting: Setting, release: Release) -> Built:
        return self._built.ask(setting, release, partial(build_both, *self._which))


def _only_call(asked: Asked) -> OracleCall | None:
    layer, call, linear, crash = asked
    if not isinstance(call, OracleCall) or call.oracle not in ORACLES:
        return None
    if call.stored is not None or call.afterwards or linear is not None or crash is not None:
        return None
    alone = layer.all2all is None and layer.late is None and not layer.rebalances
    return call if alone else None


_PLACES: Kept[Place] = Kept(2048)
_LAYERS: Kept[tuple[Layer, ...]] = Kept(4096)
_DEPLOYMENTS: Interned[Deployment] = Interned(4096)


def find_place(machine: MachineSnapshot, release: Release) -> Place:
    """The machine under a release; made once for it."""
    known = _PLACES.find(machine, release)
    if known is None:
        facts, settings = make_facts(machine, release), settings_of(machine, release)
        known = _PLACES.keep(machine, release, Place(machine, release, facts, settings, {}))
    return known


def find_layers(model: ModelSpec, deployment: Deployment) -> tuple[Layer, ...]:
    """`model.moe_layers` in a deployment; made once for them."""
    # A layer keeps its deployment, so no other one has that identity while the layer is known.
    one = _DEPLOYMENTS.one(deployment)
    known = _LAYERS.find(model, id(one))
    if known is None:
        made = [Layer(model, index, one) for index in range(len(model.moe_layers))]
        known = _LAYERS.keep(model, id(one), tuple(made))
    return known


def _situate(call: OracleCall, arch: str, lora: bool, release: Release) -> Situation:
    return situate(call.oracle, one_query(call.query.with_lora(lora)), arch, release)
