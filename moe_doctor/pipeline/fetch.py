"""Step 1: the model that a request names."""

from __future__ import annotations

import os
from collections.abc import Callable

from moe_doctor.core.errors import DoctorError, UsageError
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
    from moe_doctor.models.draft import read_draft, with_draft
    from moe_doctor.oracle.engines.vllm.drafting_tables import WITHOUT_MODEL

    draft = read_draft(model, request.speculative_config).model
    other = None
    # A method without a model may have its own name in that place (`ngram`); DSpark may have one.
    alone = (*WITHOUT_MODEL - {"dspark"},)
    if draft is not None and request.speculative_config.get("method") not in alone:
        other = _draft_model(draft, request, say)
    return with_draft(model, request.speculative_config, other)


def _draft_model(name: str, request: Request, say: Callable[[str], None]) -> ModelSpec | None:
    """The model that a server drafts with, or None where its config is not to be had."""
    from moe_doctor.models.load import load_model

    say(f"looking for {name}, which drafts")
    revision = request.speculative_config.get("revision")
    try:
        return load_model(
            name,
            revision=revision if isinstance(revision, str) else None,
            offline=request.offline,
            hf_overrides={},
        )
    except DoctorError:
        return None  # its layers are not answered for, with a note
