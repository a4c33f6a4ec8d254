"""Values of the engine's options that no release has: a slip of the pen, not an engine's refusal.

A value that another release has is not one: the engine's own refusal answers then.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UnknownNameError, nearest_names

# vLLM config/model.py, ModelDType, 0.16.0 to 0.33.0
_DTYPES = ("auto", "half", "float16", "bfloat16", "float", "float32")


def refuse_unknown_method(speculative_config: Mapping[str, Any]) -> None:
    """The same for `method` of a `--speculative-config`."""
    method = speculative_config.get("method")
    if method is None:
        return
    from moe_doctor.oracle.engines.vllm.drafting_tables import METHODS

    if isinstance(method, str) and method in METHODS:
        return
    shown = method if isinstance(method, str) else repr(method)
    nearest = nearest_names(shown[:64], METHODS, 3, 0.5)
    hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
    known = ", ".join(sorted(METHODS))
    raise UnknownNameError(
        "--speculative-config method", shown[:80], nearest, f"{hint}known: {known}"
    )


def refuse_unknown_values(deployment: Deployment) -> None:
    """Raise UnknownNameError with the nearest names and the list for a value of no release."""
    given = {
        "--moe-backend": deployment.moe_backend.lower().replace("-", "_"),
        "--all2all-backend": deployment.all2all_backend,
        "--quantization": deployment.quantization,
        "--dtype": deployment.dtype.lower(),
    }
    asked = {flag: value for flag, value in given.items() if value and value != "auto"}
    if not asked:
        return  # the common case must not pay for the tables
    known = _known()
    for flag, value in asked.items():
        if value.lower() in known[flag]:
            continue
        nearest = nearest_names(value[:64], known[flag], 3, 0.5)
        hint = f"nearest: {', '.join(nearest)}; " if nearest else ""
        values = ", ".join(sorted(known[flag]))
        raise UnknownNameError(f"{flag} value", value[:80], nearest, f"{hint}known: {values}")


def _known() -> dict[str, tuple[str, ...]]:
    """Every value that any release takes, by flag."""
    from moe_doctor.oracle.engines.vllm.layer_options import all2all_backends, moe_backends
    from moe_doctor.oracle.engines.vllm.methods.names import known_methods
    from moe_doctor.oracle.engines.vllm.releases import RELEASES

    releases = [one.release for one in RELEASES]
    found = {
        flag: tuple(dict.fromkeys(value for release in releases for value in values(release)))
        for flag, values in (
            ("--moe-backend", moe_backends),
            ("--all2all-backend", all2all_backends),
            ("--quantization", known_methods),
        )
    }
    return {**found, "--dtype": _DTYPES}
