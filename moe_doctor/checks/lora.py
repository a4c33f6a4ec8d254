"""5xx: servers that die, or go wrong, because of LoRA."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.checks.selection import lacks_class
from moe_doctor.core.findings import Finding
from moe_doctor.core.query import MoEQuery
from moe_doctor.core.selection import Selection
from moe_doctor.rules import lora as rules


def check_lora_crash(case: Case) -> Iterator[Finding]:
    """MOE501 and MOE503."""
    seen: set[str] = set()
    for selection, query in case.chosen(lora=True):
        crash = selection.crash
        if crash is None or crash.message in seen or lacks_class(selection):
            continue
        seen.add(crash.message)
        said = f"{crash.type}: {crash.message}" if crash.message else crash.type
        if crash.type == "TypeError":
            yield rules.BATCHED_DISPATCH.finding(
                f"all2all backend {query.parallel.all2all_backend} hands over batched "
                f"activations, but with LoRA {case.engine_name} returns TRITON "
                f"(TritonExperts, standard format) without looking: the start dies with {said}",
                commands=serve_line(case, "--all2all-backend allgather_reducescatter"),
            )
            continue
        if "does not support LoRA" in crash.message:
            yield rules.MODEL_LACKS_LORA.finding(
                f"{case.engine_name} builds the model and then dies: {said}"
            )
            continue
        remedy, options = _way_out(case, query)
        yield rules.CRASH.finding(
            f"{case.engine_name} chooses {selection.backend} with LoRA and dies while it wraps "
            f"the MoE layers: {said}",
            remedy=remedy,
            commands=() if options is None else serve_line(case, options),
            evidence={"exception": crash.type, "message": crash.message},
        )


def check_lora_hazard(case: Case) -> Iterator[Finding]:
    """MOE502 and MOE505."""
    seen: set[tuple[str | None, str]] = set()
    for selection, _ in case.chosen(lora=True):
        key = (selection.backend, selection.hazard)
        if not selection.hazard or key in seen:
            continue
        seen.add(key)
        if selection.runs == "TritonExperts" and selection.backend != "TRITON":
            yield rules.WRONG_NUMBERS.finding(
                f"{case.engine_name} lays the weights out for {selection.backend}, then LoRA's "
                "wrapper runs TritonExperts on them: wrong numbers without an error",
                remedy=_undo(selection),
                commands=serve_line(case, "", _unset(selection)),
            )
        else:
            yield rules.WRONG_DEVICE.finding(selection.hazard)


def _way_out(case: Case, query: MoEQuery) -> tuple[str, str | None]:
    """The advice, and the options of its command; None where no command can help."""
    release = case.release or (0, 0, 0)
    if query.parallel.use_ep and release >= (0, 21, 0):
        return (
            "Use the all2all backend that LoRA works with",
            "--enable-expert-parallel --all2all-backend allgather_reducescatter",
        )
    if query.parallel.use_ep:
        return (
            "Leave --enable-expert-parallel out, or use vLLM 0.21.0 or newer",
            "",
        )
    return ("Leave --enable-lora out here, or merge the adapter into the weights", None)


def _undo(selection: Selection) -> str:
    names = " and ".join(_unset(selection))
    return f"Unset {names}, or use vLLM 0.20.0 or newer, which returns TRITON for LoRA"


def _unset(selection: Selection) -> tuple[str, ...]:
    if selection.backend == "ROCm AITER":
        return ("VLLM_ROCM_USE_AITER",)
    return ("VLLM_USE_FLASHINFER_MOE_FP16",)


def serve_line(case: Case, options: str, unset: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The `vllm serve` line with what the user asked for and the remedy in it."""
    if case.request.model is None:
        return ()
    deployment = case.request.deployment
    words = ["env", *(f"-u {name}" for name in unset)] if unset else []
    words += ["vllm serve", case.model_argument, "--enable-lora"]
    if deployment.tensor_parallel_size > 1:
        words.append(f"--tensor-parallel-size {deployment.tensor_parallel_size}")
    if deployment.data_parallel_size > 1:
        words.append(f"--data-parallel-size {deployment.data_parallel_size}")
    if deployment.expert_parallel and not unset and "allgather" in options:
        options = options.replace("--enable-expert-parallel ", "")
        words.append("--enable-expert-parallel")
    if options:
        words.append(options)
    return (" ".join(words),)


CHECKS = (check_lora_crash, check_lora_hazard)
