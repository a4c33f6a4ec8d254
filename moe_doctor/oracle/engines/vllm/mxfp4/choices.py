"""How the MXFP4 oracles ask a backend: its classes in order, or an error."""

from __future__ import annotations

from moe_doctor.oracle.engines.vllm.mxfp4 import tables
from moe_doctor.oracle.engines.vllm.oracle import unsupported
from moe_doctor.oracle.walk import Choice, Refused, Walk

_LORA = "TrtLlmMxfp4LoRAExperts"


def return_or_raise(walk: Walk, member: str) -> Choice:
    """The backend or an error: _return_or_raise()."""
    if member == "HUMMING":
        _import_humming(walk)
    is_trtllm = member in (tables.TRTLLM_BF16, tables.TRTLLM_MXFP8)
    if walk.situation.query.lora and is_trtllm and walk.release >= (0, 33, 0):
        if member == tables.TRTLLM_MXFP8:
            raise Refused(
                "ValueError",
                f"Mxfp4 MoE backend '{member}' does not support the deployment configuration since "
                "expert LoRA is not supported with MXFP8 activations; use "
                "moe_backend='flashinfer_trtllm'.",
            )
        walk.aside = {_LORA: member}
        if walk.ask_kernel(_LORA, member) is None:
            return Choice(member, _LORA, log_line(walk, member))
    kernel, rejection = walk.ask(member)
    if kernel is not None:
        return Choice(member, kernel, log_line(walk, member))
    raise Refused("ValueError", unsupported(walk, tables.WORDING, member, rejection))


def first_that_fits(walk: Walk) -> Choice | None:
    """The candidates in order."""
    for member in walk.order:
        kernel, _ = walk.ask(member)
        if kernel is not None:
            return Choice(member, kernel, log_line(walk, member))
    return None


def log_line(walk: Walk, member: str) -> str:
    """The engine's INFO line about a choice."""
    return f"Using '{walk.backends[member].value}' Mxfp4 MoE backend."


def _import_humming(walk: Walk) -> None:
    """Until 0.24.0 the file of the classes imports the package, which is not there."""
    if walk.release < (0, 25, 0) and "humming" not in walk.situation.facts.features:
        raise Refused("ModuleNotFoundError", "No module named 'humming'")
