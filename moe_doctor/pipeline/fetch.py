"""Step 1: the model that a request names."""

from __future__ import annotations

import os
from collections.abc import Callable

from moe_doctor.core.errors import UsageError
from moe_doctor.core.request import Request
from moe_doctor.core.spec import ModelSpec


def fetch_model(request: Request, say: Callable[[str], None]) -> ModelSpec | None:
    """The request's model, or None without one; raises DoctorError."""
    if request.model is None:
        if request.command == "check":
            raise UsageError("check needs a model", "moe-doctor check MODEL")
        return None
    from moe_doctor.models.load import load_model, require_moe

    if not os.path.lexists(request.model):  # pathlib raises for names that are too long
        say(f"looking for {request.model}")
    model = load_model(
        request.model,
        revision=request.revision,
        offline=request.offline,
        hf_overrides=request.hf_overrides,
    )
    model = require_moe(model, overridden=bool(request.hf_overrides))
    if not request.speculative_config:
        return model
    from moe_doctor.models.draft import with_draft

    return with_draft(model, request.speculative_config)
