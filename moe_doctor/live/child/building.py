"""From a config folder and a deployment to the layers of the real model class."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import traceback
import typing
import warnings
from pathlib import Path

from moe_doctor.live.child.recording import Recorder
from moe_doctor.live.child.stand_ins import on_meta, set_groups

_ERROR_LIMIT = 4000


class ArgumentError(Exception):
    """An option that this release's parser does not know."""


class Build(typing.NamedTuple):
    """One server that was asked for."""

    folder: str
    """Holds config.json, and hf_quant_config.json where the model has one."""
    arguments: typing.Dict[str, typing.Any]  # noqa: UP006
    """For `EngineArgs`, in its own names."""
    lora: bool
    """Whether `enable_lora` is set."""


def run(build: Build, recorder: Recorder) -> dict[str, typing.Any]:
    """Build the model on meta tensors; every oracle call and what went wrong."""
    recorder.clear()
    stage = "args"
    out: dict[str, typing.Any] = {"lora": build.lora, "error": None, "methods": []}
    before = dict(os.environ)
    try:
        set_groups(1, 1, 1)
        arguments = _engine_arguments(build)
        stage = "config"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            config = arguments.create_engine_config()
        out["architecture"] = (config.model_config.architectures or [""])[0]
        out["quantization"] = config.model_config.quantization
        stage = "model"
        model = _construct(config)
        out["methods"] = _methods(model)
        if build.lora:
            models: typing.Any = importlib.import_module("vllm.model_executor.models")
            out["supports_lora"] = bool(models.supports_lora(model))
    except (Exception, SystemExit) as error:
        out["error"] = _described(error, stage)
    finally:
        # vLLM writes to the environment while it builds some models.
        os.environ.clear()
        os.environ.update(before)
    out["calls"] = recorder.calls
    return out


def plain_config(folder: str) -> str | None:
    """Let a plain config class stand in where the model's own comes as remote code.

    Returns a sentence about it, or None where it was not necessary.
    """
    content = json.loads(Path(folder, "config.json").read_text(encoding="utf-8"))
    kind = content.get("model_type")
    if not kind or "AutoConfig" not in (content.get("auto_map") or {}):
        return None
    transformers: typing.Any = importlib.import_module("transformers")
    mapping: typing.Any = importlib.import_module("transformers.models.auto.configuration_auto")
    known: typing.Any = importlib.import_module("vllm.transformers_utils.config")
    if kind in mapping.CONFIG_MAPPING or kind in getattr(known, "_CONFIG_REGISTRY", ()):
        return None

    class PlainConfig(transformers.PretrainedConfig):  # type: ignore[misc]
        model_type = kind

        def __init__(self, **keys: typing.Any) -> None:
            for name, value in keys.items():
                nested = name.endswith("_config") and isinstance(value, dict)
                if nested and name not in ("quantization_config", "generation_config"):
                    keys[name] = transformers.PretrainedConfig(**value)
            super().__init__(**keys)
            for name, value in keys.items():
                if not hasattr(self, name):
                    setattr(self, name, value)

    transformers.AutoConfig.register(kind, PlainConfig, exist_ok=True)
    return (
        f"the configuration class of model type {kind} is code in the model's repository, which "
        "is never run: a plain one stood in, without that class's own defaults"
    )


def _engine_arguments(build: Build) -> typing.Any:
    from vllm.engine.arg_utils import EngineArgs

    names = {field.name for field in dataclasses.fields(EngineArgs)}
    arguments = {
        "model": build.folder,
        "load_format": "dummy",
        "skip_tokenizer_init": True,
        "trust_remote_code": False,
        **build.arguments,
    }
    # Pinned host memory for swapping is checked against this host's, not the server's.
    if "swap_space" in names:
        arguments["swap_space"] = 0
    if build.lora:
        arguments["enable_lora"] = True
    unknown = [name for name in arguments if name not in names]
    if unknown:
        # What `vllm serve` says to the same options.
        words = [_as_option(name, arguments[name]) for name in unknown]
        raise ArgumentError(f"unrecognized arguments: {' '.join(words)}")
    return EngineArgs(**arguments)


def _as_option(name: str, value: typing.Any) -> str:
    flag = "--" + name.replace("_", "-")
    return flag if value is True else f"{flag} {value}"


def _construct(config: typing.Any) -> typing.Any:
    import torch
    from vllm.model_executor.model_loader.utils import initialize_model

    parallel = config.parallel_config
    set_groups(
        parallel.tensor_parallel_size,
        parallel.data_parallel_size,
        getattr(parallel, "prefill_context_parallel_size", 1),
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(config.model_config.dtype)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(on_meta())
        return initialize_model(config)


def _methods(model: typing.Any) -> list[dict[str, str]]:
    """Every module whose quantization method is one for fused experts."""
    out = []
    for name, module in model.named_modules():
        method = getattr(module, "quant_method", None)
        bases = [base.__name__ for base in type(method).__mro__]
        if "FusedMoEMethodBase" in bases:
            out.append({"prefix": name, "method": type(method).__name__})
    return out


def _described(error: BaseException, stage: str) -> dict[str, str]:
    frames = traceback.extract_tb(error.__traceback__)
    inside = [one for one in frames if "vllm" in Path(one.filename).parts]
    last = inside[-1] if inside else frames[-1]
    parts = Path(last.filename).parts
    where = "/".join(parts[parts.index("vllm") :]) if "vllm" in parts else parts[-1]
    return {
        "type": type(error).__name__,
        "message": str(error)[:_ERROR_LIMIT],
        "stage": stage,
        "where": f"{where}:{last.lineno}",
        "inside": str(bool(frames) and "vllm" in Path(frames[-1].filename).parts).lower(),
    }
