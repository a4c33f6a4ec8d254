"""vLLM in the child: imported once, given what its layers expect, its functions called by name.

Signatures differ between releases (0.20.0 to 0.33.0 were read), so every function is called with
what it asks for, out of a pool of named values. A required name that is not in the pool is an
UnfitError with the function's words.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch

from moe_doctor.proof.adapters.base import UnfitError

LAYERS = "vllm.model_executor.layers"
"""Where its layers are."""
CAPTURE_SIZE = 512
"""What a served model gets for its largest CUDA graph: min(2 * max_num_seqs, 512)."""

_SESSION = contextlib.ExitStack()


def open_session(device: torch.device) -> str:
    """Import vLLM and give it the config and the workspace that its layers expect; its version."""
    try:
        vllm = importlib.import_module("vllm")
        importlib.import_module("vllm._custom_ops")
        for extension in ("_C", "_C_stable_libtorch", "_moe_C"):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"vllm.{extension}")
        config = importlib.import_module("vllm.config")
        workspace = importlib.import_module("vllm.v1.worker.workspace")
    except Exception as error:  # whatever an installation can be broken by
        text = f"{type(error).__name__}: {error}"
        raise UnfitError(f"the installed vLLM does not import here: {text}") from error
    if not workspace.is_workspace_manager_initialized():
        settings = config.VllmConfig()
        settings.compilation_config.max_cudagraph_capture_size = CAPTURE_SIZE
        _SESSION.enter_context(config.set_current_vllm_config(settings))
        workspace.init_workspace_manager(device)
    return str(vllm.__version__)


def ask(function: Callable[..., Any], pool: Mapping[str, Any]) -> Any:
    """Call `function` with the entries of `pool` that it has parameters for."""
    parameters = inspect.signature(function).parameters.values()
    missing = [
        one.name
        for one in parameters
        if one.default is one.empty
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and one.name not in pool
    ]
    if missing:
        name = getattr(function, "__qualname__", str(function))
        raise UnfitError(f"{name} of this vLLM asks for {', '.join(missing)}")
    return function(**{one.name: pool[one.name] for one in parameters if one.name in pool})


def find_module(name: str) -> Any:
    """A module of vLLM's layers, by its path below them."""
    return importlib.import_module(f"{LAYERS}.{name}")


def poison_workspace() -> None:
    """vLLM's workspace outlives a call: what the last one left there must not pass for a result."""
    workspace = importlib.import_module("vllm.v1.worker.workspace")
    manager = workspace.current_workspace_manager()
    buffers = getattr(manager, "_current_workspaces", None) or ()
    for buffer in buffers.values() if isinstance(buffers, dict) else buffers:
        if isinstance(buffer, torch.Tensor):
            buffer.view(torch.uint8).fill_(255)  # all ones is NaN in every dtype
