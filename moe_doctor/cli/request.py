"""Option groups to the core's Request: conflicts and shapes are settled here."""

from __future__ import annotations

import json
import re
from typing import Any

from moe_doctor.cli.options import (
    MachineOptions,
    ModelOptions,
    PageOptions,
    ProofOptions,
    ReportOptions,
    ServerOptions,
)
from moe_doctor.core.deployment import Deployment
from moe_doctor.core.errors import UsageError
from moe_doctor.core.request import MachineRequest, Request

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def require_model(command: str, model: str | None) -> str:
    """MODEL, or a `UsageError` that shows how to give it."""
    if model:
        return model
    raise UsageError(
        f"{command} needs a MODEL: a directory, a config.json, or a Hugging Face id",
        f"for example: moe-doctor {command} nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    )


def build_request(
    command: str,
    *,
    machine: MachineOptions,
    report: ReportOptions | PageOptions,
    model: str | None = None,
    engine: str | None = None,
    python: str | None = None,
    model_options: ModelOptions | None = None,
    server: ServerOptions | None = None,
    proof: ProofOptions | None = None,
    level: int = 2,
    backends: tuple[str, ...] = (),
) -> Request:
    """One Request out of the groups that a command takes. Raises `UsageError`."""
    for flag, value in (("--engine", engine), ("--python", python)):
        if value is not None and not value.strip():
            raise UsageError(f"{flag} is empty; expected a value")
    source = model_options or ModelOptions()
    asked = server or ServerOptions()
    limits = proof or ProofOptions()
    return Request(
        command=command,
        model=model,
        engine=engine,
        python=python,
        lora=asked.lora,
        deployment=_deployment(asked),
        machine=_machine(machine),
        revision=source.revision,
        hf_overrides=_json_object(
            "--hf-overrides", source.hf_overrides, '{"num_experts_per_tok": 4}'
        ),
        speculative_config=_speculative_config(source.speculative_config),
        backends=backends,
        level=level,
        offline=source.offline,
        timeout_s=limits.timeout,
        build=limits.build,
        require_proof=limits.require_proof,
        fail_on=report.fail_on if isinstance(report, ReportOptions) else "never",
    )


def _speculative_config(text: str | None) -> dict[str, Any]:
    config = _json_object(
        "--speculative-config", text, '{"method": "mtp", "num_speculative_tokens": 1}'
    )
    if config:
        from moe_doctor.oracle.option_values import refuse_unknown_method

        refuse_unknown_method(config)
    return config


def _deployment(server: ServerOptions) -> Deployment:
    from moe_doctor.core.arguments import redundant_experts
    from moe_doctor.oracle.option_values import refuse_unknown_values

    deployment = Deployment(
        tensor_parallel_size=server.tensor_parallel_size,
        data_parallel_size=server.data_parallel_size,
        prefill_context_parallel_size=server.prefill_context_parallel_size,
        pipeline_parallel_size=server.pipeline_parallel_size,
        expert_parallel=server.enable_expert_parallel,
        all2all_backend=server.all2all_backend,
        enable_eplb=server.enable_eplb,
        enable_dbo=server.enable_dbo,
        num_redundant_experts=redundant_experts(
            _json_object("--eplb-config", server.eplb_config, '{"num_redundant_experts": 32}')
        ),
        # vLLM also reads --moe-backend in any case and with dashes (config/kernel.py).
        moe_backend=server.moe_backend.lower().replace("-", "_"),
        quantization=server.quantization,
        dtype=server.dtype,
        mm_encoder_tp_mode=server.mm_encoder_tp_mode,
        max_num_batched_tokens=server.max_num_batched_tokens,
        max_lora_rank=server.max_lora_rank,
    )
    refuse_unknown_values(deployment)
    return deployment


def _machine(options: MachineOptions) -> MachineRequest:
    described = {
        "--gpu": options.gpu,
        "--capability": options.capability,
        "--platform": options.platform,
        "--arch": options.arch,
    }
    given = [flag for flag, value in described.items() if value is not None]
    if options.snapshot is not None and given:
        raise UsageError(
            f"--snapshot and {given[0]} exclude each other: a snapshot describes a whole machine",
            "give one of them",
        )
    if options.capability is not None and options.arch is not None:
        raise UsageError(
            "--capability and --arch exclude each other: "
            "the first describes a CUDA GPU, the second a ROCm GPU",
            "give one of them",
        )
    for flag, value in (*described.items(), ("--snapshot", options.snapshot)):
        if value is not None and not value.strip():
            raise UsageError(f"{flag} is empty; expected a value")
    return MachineRequest(
        gpu=options.gpu,
        capability=options.capability,
        platform=options.platform,
        arch=options.arch,
        snapshot=options.snapshot,
        with_packages=options.with_packages,
        without_packages=options.without_packages,
        environment=_environment(options.env),
    )


def _environment(assignments: tuple[str, ...]) -> dict[str, str]:
    environment: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise UsageError(
                f"--env is {assignment[:80]!r}; expected NAME=VALUE",
                "for example: --env VLLM_USE_FLASHINFER_MOE_FP16=1",
            )
        environment[name] = value
    return environment


def _json_object(flag: str, text: str | None, example: str) -> dict[str, Any]:
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "nested too deeply"
        raise UsageError(
            f"{flag} is not JSON: {reason}",
            f"quote it for the shell: {flag} '{example}'",
        ) from error
    if not isinstance(value, dict):
        raise UsageError(
            f"{flag} is a JSON {type(value).__name__}; expected an object",
            f"for example: {flag} '{example}'",
        )
    return value
