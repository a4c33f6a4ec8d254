"""Prove a backend on this machine: plan, run in children, classify.

    prove(spec, backend_option="triton", ...) -> one Proof without LoRA and one with it

A proof runs on this machine, whatever GPU the oracle was asked about. A backend that cannot run
here is `skipped` with the reason; Triton falls back to its interpreter, which proves the code and
not the GPU, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from moe_doctor.core.machine import MachineSnapshot
from moe_doctor.core.proof import Proof, ProofOutcome
from moe_doctor.core.query import QuantQuery
from moe_doctor.core.record import record
from moe_doctor.core.spec import MoESpec
from moe_doctor.core.units import count, format_capability
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters import ADAPTERS, find_adapter
from moe_doctor.proof.adapters.base import Adapter, Question
from moe_doctor.proof.case import Geometry, ProofPlan
from moe_doctor.proof.classify import case_results, classify
from moe_doctor.proof.events import Event
from moe_doctor.proof.plan import make_plan
from moe_doctor.proof.runner import ChildEnd, run_children
from moe_doctor.proof.schemes import Found, scheme_of

PROVABLE: tuple[str, ...] = tuple(adapter.options[0] for adapter in ADAPTERS)
"""Backend options that have an adapter."""

DTYPES = ("bfloat16", "float16", "float32")
"""Dtypes of unquantized weights that a proof can run."""

_PROVABLE_LEVEL = 3


def prove(
    spec: MoESpec,
    *,
    backend_option: str,
    lora: bool | tuple[bool, ...],
    intermediate_size_per_partition: int,
    num_local_experts: int,
    machine: MachineSnapshot,
    dtype: str,
    level: int = 3,
    timeout_s: float = 120.0,
    moe_layers: int = 0,
    quant: QuantQuery | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[Proof, ...]:
    """Run the tiny forward of one backend, once per entry of `lora`, side by side.

    `machine` is the machine of this process; `moe_layers` is carried into the proofs; `quant` is
    how the engine asks about the weights, None where it does not say. Never raises for anything
    that a backend does: that is in the proof's outcome.
    """
    found = scheme_of(spec.quantization, quant)
    runs = [
        _Run(
            spec,
            backend_option,
            with_lora,
            intermediate_size_per_partition,
            num_local_experts,
            machine,
            dtype,
            moe_layers,
            found,
        )
        for with_lora in ((lora,) if isinstance(lora, bool) else lora)
    ]
    proofs: dict[int, Proof] = {}
    for index, run in enumerate(runs):
        if level < _PROVABLE_LEVEL:
            reason = f"level {level} runs no proof; --level 3 does"
            proofs[index] = run.without_child(ProofOutcome.NOT_RUN, reason)
        elif (reason_skipped := run.unavailable()) is not None:
            proofs[index] = run.without_child(ProofOutcome.SKIPPED, reason_skipped)
    waiting = [index for index in range(len(runs)) if index not in proofs]
    plans = [runs[index].plan(level, share=len(waiting)) for index in waiting]

    def tell(child: int, event: Event) -> None:
        if progress is not None and event["event"] == "step":
            with_lora = " with LoRA" if runs[waiting[child]].lora else ""
            progress(f"{backend_option}{with_lora}: {event['name']}")

    ends = run_children(
        [plan.to_dict() for plan in plans],
        environments=[runs[index].environment() for index in waiting],
        timeout_s=timeout_s,
        listener=tell,
    )
    for index, plan, end in zip(waiting, plans, ends, strict=True):
        proofs[index] = runs[index].conclude(plan, end, timeout_s)
    return tuple(proofs[index] for index in range(len(runs)))


@record
class _Run:
    """One backend with or without LoRA."""

    spec: MoESpec
    backend_option: str
    lora: bool
    intermediate_size_per_partition: int
    num_local_experts: int
    machine: MachineSnapshot
    dtype: str
    moe_layers: int
    found: Found

    @property
    def adapter(self) -> Adapter | None:
        return find_adapter(self.backend_option)

    def unavailable(self) -> str | None:
        spec, adapter = self.spec, self.adapter
        if adapter is None:
            return _no_adapter(self.backend_option, self.machine)
        if self.found.scheme is None:
            return self.found.reason
        if self.dtype not in DTYPES:
            return f"dtype is {self.dtype}; proofs run {', '.join(DTYPES)}"
        question = Question(
            self.machine,
            self.dtype,
            spec.activation,
            spec.gated,
            self.lora,
            self.found.scheme,
            spec.has_bias,
            spec.swiglu_limit,
        )
        return adapter.unavailable(question)

    def plan(self, level: int, share: int) -> ProofPlan:
        adapter = self._required_adapter()
        mode = adapter.mode(self.machine)
        gpu = self.machine.gpu
        on_gpu = mode == "gpu" and gpu is not None
        return make_plan(
            self.spec,
            implementation=f"{type(adapter).__module__}:{type(adapter).__qualname__}",
            mode=mode,
            intermediate_size_per_partition=self.intermediate_size_per_partition,
            num_local_experts=self.num_local_experts,
            dtype=self.dtype,
            lora=self.lora,
            level=level,
            memory_bytes=gpu.memory_bytes
            if on_gpu and gpu is not None
            else self.machine.memory_bytes,
            share=share,
            scheme=self.found.scheme or NONE,
        )

    def environment(self) -> Mapping[str, str]:
        return self._required_adapter().environment(self.machine)

    def without_child(self, outcome: ProofOutcome, reason: str) -> Proof:
        adapter = self.adapter
        mode = "gpu" if adapter is None else adapter.mode(self.machine)
        return Proof(
            backend_option=self.backend_option,
            implementation="" if adapter is None else adapter.implementation,
            lora=self.lora,
            device=self._device(mode),
            mode=mode,
            outcome=outcome,
            reason=reason,
            moe_layers=self.moe_layers,
        )

    def conclude(self, plan: ProofPlan, end: ChildEnd, timeout_s: float) -> Proof:
        outcome, reason = classify(end, timeout_s)
        ready: Event = next((e for e in end.events if e["event"] == "ready"), {})
        geometry = Geometry.from_dict(ready["geometry"]) if ready else plan.geometry
        if outcome is ProofOutcome.PASSED:
            reason = _what_was_special(plan.mode, geometry)
        lora = {} if plan.lora is None else {"lora_ranks": list(plan.lora.ranks)}
        return Proof(
            backend_option=self.backend_option,
            implementation=self._required_adapter().implementation,
            lora=self.lora,
            device=str(ready.get("device") or self._device(plan.mode)),
            mode=plan.mode,
            outcome=outcome,
            reason=reason,
            cases=case_results(end),
            geometry={**geometry.to_dict(), **lora},
            moe_layers=self.moe_layers,
        )

    def _device(self, mode: str) -> str:
        gpu = self.machine.gpu
        return gpu.name if mode == "gpu" and gpu is not None else self.machine.cpu_arch

    def _required_adapter(self) -> Adapter:
        adapter = self.adapter
        if adapter is None:
            raise LookupError(f"no adapter for {self.backend_option!r}")
        return adapter


def _what_was_special(mode: str, geometry: Geometry) -> str:
    """What a reader must know beside "passed"."""
    parts = []
    if mode == "interpreter":
        parts.append("this proves the code, not a GPU")
    elif mode == "cpu":
        parts.append("ran on the CPU")
    shrunk = geometry.shrinkage()
    if shrunk:
        parts.append(f"ran {', '.join(shrunk)}")
    if geometry.scheme != NONE:
        parts.append(f"scheme {geometry.scheme}")
    return "; ".join(parts)


def _no_adapter(backend_option: str, machine: MachineSnapshot) -> str:
    if backend_option == "flashinfer_trtllm":
        seen = machine.capability
        here = "there is no GPU here" if seen is None else f"this one is {format_capability(seen)}"
        if seen is None or seen[0] != 10:
            return f"needs a GPU of compute capability 10.x; {here}"
    names = ", ".join(PROVABLE)
    return (
        f"moe-doctor has no proof for {backend_option}; "
        f"it has {count(len(PROVABLE), 'proof')}: {names}"
    )
