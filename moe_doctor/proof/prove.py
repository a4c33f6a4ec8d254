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
from moe_doctor.core.record import record, replace
from moe_doctor.core.spec import MoESpec
from moe_doctor.core.units import count
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters import ADAPTERS, find_adapters
from moe_doctor.proof.adapters.base import Adapter, Build, Question
from moe_doctor.proof.adapters.flashinfer_modules import build_environment
from moe_doctor.proof.adapters.vllm import VLLM_ADAPTERS
from moe_doctor.proof.case import Geometry, ProofPlan
from moe_doctor.proof.classify import case_results, classify
from moe_doctor.proof.events import Event
from moe_doctor.proof.plan import DEFAULT_BATCHED_TOKENS, make_plan
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
    max_num_batched_tokens: int | None = None,
    build: bool = False,
    progress: Callable[[str], None] | None = None,
) -> tuple[Proof, ...]:
    """Run the tiny forward of one backend, once per entry of `lora`, side by side.

    `machine` is the machine of this process; `moe_layers` is carried into the proofs; `quant` is
    how the engine asks about the weights, None where it does not say. `max_num_batched_tokens` is
    the server's largest batch, which level 4 runs; with `build` a child may compile what it lacks
    first, in time of its own. Never raises for anything
    that a backend does: that is in the proof's outcome.
    """
    found = scheme_of(spec.quantization, quant)
    adapters = find_adapters(backend_option)
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
            adapters,
            max_num_batched_tokens=max_num_batched_tokens or DEFAULT_BATCHED_TOKENS,
            build=build,
        )
        for with_lora in ((lora,) if isinstance(lora, bool) else lora)
    ]
    if level < _PROVABLE_LEVEL:
        reason = f"level {level} runs no proof; --level 3 does"
        return tuple(run.without_child(ProofOutcome.NOT_RUN, reason) for run in runs)
    proofs: dict[int, Proof] = {}
    waiting = dict(enumerate(runs))
    while waiting:
        starting: dict[int, _Run] = {}
        for index, run in waiting.items():
            able, unable = run.at_an_able_adapter()
            if unable is None:
                starting[index] = able
            else:
                proofs[index] = able.without_child(ProofOutcome.SKIPPED, unable)
        waiting = {}
        for index, proof in _run_together(starting, level, timeout_s, progress).items():
            proofs[index] = proof
            if proof.outcome is ProofOutcome.SKIPPED and len(starting[index].adapters) > 1:
                waiting[index] = starting[index].after(proof.reason)
    return tuple(proofs[index] for index in range(len(runs)))


def _run_together(
    runs: Mapping[int, _Run],
    level: int,
    timeout_s: float,
    progress: Callable[[str], None] | None,
) -> dict[int, Proof]:
    """One child per run, side by side."""
    ordered = list(runs.values())
    plans = [run.plan(level, share=len(ordered)) for run in ordered]

    def tell(child: int, event: Event) -> None:
        if progress is not None and event["event"] == "step":
            with_lora = " with LoRA" if ordered[child].lora else ""
            progress(f"{ordered[child].backend_option}{with_lora}: {event['name']}")

    builds = [run.needed_build() for run in ordered]
    for run, needed in zip(ordered, builds, strict=True):
        if needed is not None and progress is not None:
            progress(f"{run.backend_option}: building {needed.what}, {needed.words}")
    more_s = [0.0 if needed is None else needed.deadline_s for needed in builds]
    ends = run_children(
        [plan.to_dict() for plan in plans],
        environments=[run.environment() for run in ordered],
        timeout_s=timeout_s,
        build_s=more_s,
        listener=tell,
    )
    return {
        index: run.conclude(plan, end, timeout_s + more)
        for (index, run), plan, end, more in zip(runs.items(), plans, ends, more_s, strict=True)
    }


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
    adapters: tuple[Adapter, ...]
    """Those that answer to the option and were not passed over, the next one first."""
    passed_over: str = ""
    """Why the engine's own kernels do not run."""
    max_num_batched_tokens: int = DEFAULT_BATCHED_TOKENS
    build: bool = False

    @property
    def adapter(self) -> Adapter | None:
        return self.adapters[0] if self.adapters else None

    def at_an_able_adapter(self) -> tuple[_Run, str | None]:
        """This run at its first adapter that can, or at its last with why that cannot."""
        reason = self.unavailable()
        if reason is None or len(self.adapters) < 2:
            return self, reason
        return self.after(reason).at_an_able_adapter()

    def after(self, reason: str) -> _Run:
        """This run at the adapter after the one that `reason` keeps from running."""
        return replace(self, adapters=self.adapters[1:], passed_over=reason)

    def unavailable(self) -> str | None:
        spec, adapter = self.spec, self.adapter
        if adapter is None:
            return _no_adapter(self.backend_option)
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
            self.build,
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
            max_num_batched_tokens=self.max_num_batched_tokens,
        )

    def environment(self) -> Mapping[str, str]:
        variables = self._required_adapter().environment(self.machine)
        needed = self.needed_build()
        return variables if needed is None else {**variables, **build_environment(needed)}

    def needed_build(self) -> Build | None:
        """What the child compiles first."""
        return self._required_adapter().build(self.machine) if self.build else None

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
            reason=self._with_passed_over(reason),
            moe_layers=self.moe_layers,
        )

    def _with_passed_over(self, reason: str) -> str:
        if not self.passed_over:
            return reason
        return "; ".join(
            filter(None, (reason, f"vLLM's own kernels did not run: {self.passed_over}"))
        )

    def conclude(self, plan: ProofPlan, end: ChildEnd, timeout_s: float) -> Proof:
        adapter = self._required_adapter()
        outcome, reason = classify(end, timeout_s)
        ready: Event = next((e for e in end.events if e["event"] == "ready"), {})
        geometry = Geometry.from_dict(ready["geometry"]) if ready else plan.geometry
        if outcome is ProofOutcome.PASSED:
            reason = _what_was_special(plan.mode, geometry)
        lora = {} if plan.lora is None else {"lora_ranks": list(plan.lora.ranks)}
        return Proof(
            backend_option=self.backend_option,
            implementation=str(ready.get("implementation") or adapter.implementation),
            lora=self.lora,
            device=str(ready.get("device") or self._device(plan.mode)),
            mode=plan.mode,
            outcome=outcome,
            reason=self._with_passed_over(reason),
            cases=case_results(end, plan.cases),
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


def _no_adapter(backend_option: str) -> str:
    if any(backend_option in adapter.options for adapter in VLLM_ADAPTERS):
        return (
            f"a proof of {backend_option} runs vLLM's own kernels; "
            "vllm is not installed in this environment"
        )
    names = ", ".join(PROVABLE)
    return (
        f"moe-doctor has no proof for {backend_option}; "
        f"it has {count(len(PROVABLE), 'proof')}: {names}"
    )
