"""7xx and 8xx: sizes that do not fit, options that do nothing, tiles that are not tuned."""

from __future__ import annotations

from collections.abc import Iterator

from moe_doctor.checks.case import Case
from moe_doctor.core.findings import Finding
from moe_doctor.oracle.engines.vllm.layer_options import all2all_backends
from moe_doctor.oracle.engines.vllm.tuned import ships_tuned_file, tuned_file_name
from moe_doctor.rules import deployment as rules

# What an all2all backend's name starts with -> the distribution that brings it
# (distributed/device_communicators/all2all.py).
_ALL2ALL_PACKAGES = (
    ("pplx", "pplx-kernels"),
    ("deepep", "deep-ep"),
    ("mori", "mori"),
    ("nixl_ep", "nixl-ep"),
    ("moonep", "moonep"),
    ("flashinfer", "flashinfer-python"),
)


def check_all2all_without_ep(case: Case) -> Iterator[Finding]:
    """MOE701."""
    deployment = case.request.deployment
    if deployment.all2all_backend is None or deployment.expert_parallel:
        return
    sizes = (
        f"-tp {deployment.tensor_parallel_size} -dp {deployment.data_parallel_size} "
        "--enable-expert-parallel"
    )
    yield rules.ALL2ALL_WITHOUT_EP.finding(
        f"--all2all-backend {deployment.all2all_backend} does nothing without "
        "--enable-expert-parallel: experts are sharded by tensor parallelism",
        commands=(
            (
                f"vllm serve {case.model_argument} {sizes} "
                f"--all2all-backend {deployment.all2all_backend}",
            )
            if case.request.model
            else ()
        ),
    )


def check_trtllm_shard(case: Case) -> Iterator[Finding]:
    """MOE702."""
    release = case.release
    # 0.24.0 pads non-gated weights, 0.29.0 all (convert_to_unquantized_kernel_format)
    if release is None or release >= (0, 29, 0):
        return
    for selection, query in case.chosen(lora=False):
        shard = query.intermediate_size_per_partition
        padded = release >= (0, 24, 0) and not query.is_act_and_mul
        if selection.backend == "FlashInfer TRTLLM" and shard % 128 and not padded:
            yield rules.TRTLLM_SHARD.finding(
                f"intermediate_size_per_partition is {shard}; the TRT-LLM kernel of "
                f"{case.engine_name} needs a multiple of 128 and does not pad gated weights",
                commands=_serve_triton(case),
                evidence={"intermediate_size_per_partition": shard},
            )
            return


def check_all2all_package(case: Case) -> Iterator[Finding]:
    """MOE704."""
    deployment, release = case.request.deployment, case.release
    spread = deployment.expert_parallel and deployment.data_parallel_size > 1
    if release is None or not spread or case.machine.platform not in ("cuda", "rocm"):
        return
    name = deployment.all2all_backend or ""
    if name not in all2all_backends(release):
        return
    if (name == "pplx" and release >= (0, 17, 0)) or (name == "naive"):
        return  # removed: vLLM warns and takes allgather_reducescatter
    packages = [package for start, package in _ALL2ALL_PACKAGES if name.startswith(start)]
    if not packages or case.machine.has(packages[0]):
        return
    yield rules.ALL2ALL_PACKAGE_ABSENT.finding(
        f"--all2all-backend {name} needs {packages[0]}, which is not installed: "
        f"{case.engine_name} stops while it starts and does not fall back",
        evidence={"package": packages[0]},
    )


def check_ranks(case: Case) -> Iterator[Finding]:
    """MOE705."""
    machine, deployment = case.machine, case.request.deployment
    if machine.simulated or not machine.gpus or case.request.command == "prove":
        return
    node = (
        deployment.tensor_parallel_size
        * deployment.pipeline_parallel_size
        * deployment.prefill_context_parallel_size
    )
    ranks, found = node * deployment.data_parallel_size, len(machine.gpus)
    if ranks <= found:
        return
    gpus = f"{found} GPU{'s' if found > 1 else ''}"
    text = f"the deployment has {ranks} ranks and this machine {gpus}"
    if node > found:
        text += f": {case.engine_name} raises ValueError, `World size ({node}) is larger than ...`"
    yield rules.MORE_RANKS_THAN_GPUS.finding(text, evidence={"ranks": ranks, "gpus": found})


def check_cutlass_unaligned(case: Case) -> Iterator[Finding]:
    """MOE703."""
    capability = case.machine.capability
    if capability is None or capability[0] != 10:
        return
    for selection, query in case.chosen(lora=False):
        shard = query.intermediate_size_per_partition
        if selection.backend == "FlashInfer CUTLASS" and shard % 128:
            yield rules.CUTLASS_UNALIGNED.finding(
                f"intermediate_size_per_partition is {shard}, no multiple of 128, and FlashInfer "
                "CUTLASS was chosen: an engine has been seen hanging in its start like this",
                commands=_serve_triton(case),
                evidence={"intermediate_size_per_partition": shard},
            )
            return


def check_no_tuned_config(case: Case) -> Iterator[Finding]:
    """MOE803."""
    release, gpu = case.release, case.machine.gpu
    if release is None or gpu is None or "VLLM_TUNED_CONFIG_FOLDER" in case.machine.environment:
        return
    seen: set[str] = set()
    for selection, query in case.chosen():
        if selection.backend != "TRITON":
            continue
        name = tuned_file_name(
            query.num_local_experts,
            query.intermediate_size_per_partition,
            gpu.name,
            selection.oracle or "",
            query.quant,
            query.in_dtype,
        )
        if name is None or name in seen or ships_tuned_file(name, release):
            continue
        seen.add(name)
        yield rules.NO_TUNED_CONFIG.finding(
            f"{case.engine_name} will use its general tile sizes: it ships no {name}.json",
            evidence={"file": f"{name}.json"},
        )


def _serve_triton(case: Case) -> tuple[str, ...]:
    if case.request.model is None:
        return ()
    deployment = case.request.deployment
    return (
        f"vllm serve {case.model_argument} -tp {deployment.tensor_parallel_size} "
        "--moe-backend triton",
    )


CHECKS = (
    check_all2all_without_ep,
    check_trtllm_shard,
    check_cutlass_unaligned,
    check_all2all_package,
    check_ranks,
    check_no_tuned_config,
)
