"""A constraint names what it saw and what it needs."""

from __future__ import annotations

import pkgutil
from importlib import import_module

import moe_doctor.backends
from moe_doctor.backends.constraints import (
    Activations,
    Device,
    Format,
    GatedOnly,
    NoLoRA,
    NotBatchInvariant,
    ParallelSizes,
)
from moe_doctor.backends.kernel import Kernel, resolve
from moe_doctor.backends.registry import FAMILIES, all_kernels, kernels_of
from moe_doctor.backends.schemes import spoken_format
from moe_doctor.backends.shapes import CpuTiles, PaddedExpertsBelow
from moe_doctor.backends.situation import Facts, Situation
from moe_doctor.core.query import MoEQuery, Parallel

HOPPER = Facts("cuda", (9, 0), features=frozenset({"flashinfer_cutlass"}))


def situation(query: MoEQuery, facts: Facts = HOPPER, **more: str) -> Situation:
    return Situation(query, facts, **more)


def qwen(**changes: object) -> MoEQuery:
    base: dict[str, object] = {
        "num_experts": 128,
        "top_k": 8,
        "hidden_size": 2048,
        "intermediate_size_per_partition": 768,
        "num_local_experts": 128,
    }
    return MoEQuery(**(base | changes))  # type: ignore[arg-type]


def test_capability_reason_has_both_numbers() -> None:
    rejection = Device(("cuda",), majors=(10,)).rejects(situation(qwen()))
    assert rejection is not None
    assert rejection.doctor == "needs compute capability 10.x; this GPU is 9.0"
    assert rejection.engine == "kernel does not support current device cuda"


def test_exact_capability_is_no_family() -> None:
    only_9_0 = Device(("cuda",), exact=((9, 0),))
    assert only_9_0.rejects(situation(qwen())) is None
    assert only_9_0.rejects(situation(qwen(), Facts("cuda", (9, 3)))) is not None


def test_no_visible_gpu_is_no_capability() -> None:
    rejection = Device(("cuda",), exact=((9, 0),)).rejects(situation(qwen(), Facts("cuda")))
    assert rejection is not None
    assert rejection.doctor == "needs a particular compute capability; no GPU is visible"


def test_missing_feature_says_why() -> None:
    facts = Facts("cuda", (9, 0), missing={"flashinfer_cutlass": "needs nvcc"})
    rejection = Device(("cuda",), feature="flashinfer_cutlass").rejects(situation(qwen(), facts))
    assert rejection is not None
    assert rejection.doctor == "needs nvcc"


def test_other_platform_is_named() -> None:
    rejection = Device(("rocm",)).rejects(situation(qwen()))
    assert rejection is not None
    assert rejection.doctor == "needs rocm; this is cuda"


def test_ungated_layer_is_refused_by_gated_kernel() -> None:
    rejection = GatedOnly().rejects(situation(qwen(activation="relu2_no_mul")))
    assert rejection is not None
    assert rejection.engine == "kernel does not support no act_and_mul MLP layer"


def test_activation_list_is_printed() -> None:
    rejection = Activations(frozenset({"silu", "gelu"})).rejects(situation(qwen(activation="situ")))
    assert rejection is not None
    assert rejection.doctor == "needs one of gelu, silu; this layer has situ"
    assert rejection.engine == "kernel does not support MoEActivation.SITU activation"


def test_activation_list_of_another_platform_does_not_hold() -> None:
    assert (
        Activations(frozenset({"silu"}), platforms=("xpu",)).rejects(
            situation(qwen(activation="situ"))
        )
        is None
    )


def test_all2all_that_a_kernel_cannot_work_behind() -> None:
    only = ParallelSizes(only_all2all=frozenset({"allgather_reducescatter"}))
    rejection = only.rejects(
        situation(qwen(), all2all="deepep_low_latency", parallel_text="Config(...)")
    )
    assert rejection is not None
    assert rejection.engine == "kernel does not support parallel config Config(...)"
    assert rejection.doctor == (
        "needs all2all backend allgather_reducescatter; this deployment uses deepep_low_latency"
    )
    assert only.rejects(situation(qwen())) is None


def test_eplb_is_refused_only_when_on() -> None:
    refuses = ParallelSizes(refuses_eplb=True)
    assert refuses.rejects(situation(qwen())) is None
    assert refuses.rejects(situation(qwen(parallel=Parallel(enable_eplb=True)))) is not None


def test_formats_must_meet() -> None:
    rejection = Format("standard").rejects(
        situation(qwen(), activation_format="batched", all2all="nixl_ep")
    )
    assert rejection is not None
    assert rejection.doctor == (
        "takes the standard activation format; the dispatch hands over batched (nixl_ep)"
    )
    assert rejection.engine == ("kernel does not support ('batched_experts',) activation format")


def test_lora_and_batch_invariance_are_refused_only_when_on() -> None:
    assert NoLoRA().rejects(situation(qwen())) is None
    assert NoLoRA().rejects(situation(qwen(lora=True))) is not None
    invariant = Facts("cuda", (9, 0), batch_invariant=True)
    assert NotBatchInvariant().rejects(situation(qwen())) is None
    assert NotBatchInvariant().rejects(situation(qwen(), invariant)) is not None


def test_padded_expert_count_is_compared_not_the_count() -> None:
    assert PaddedExpertsBelow().rejects(situation(qwen(num_experts=992))) is None
    rejection = PaddedExpertsBelow().rejects(situation(qwen(num_experts=993)))
    assert rejection is not None
    assert rejection.doctor == ("num_experts is 993, 1024 when padded to 32; needs fewer than 1024")


def test_cpu_pads_the_shard_but_not_the_hidden_size() -> None:
    tiles = CpuTiles(output=32, reduction=1)
    assert tiles.rejects(situation(qwen(intermediate_size_per_partition=100))) is None
    assert tiles.rejects(situation(qwen(hidden_size=1000))) is not None
    assert (
        tiles.rejects(situation(qwen(intermediate_size_per_partition=100, activation="swigluoai")))
        is not None
    )


def test_conditions_of_a_kernel_never_overlap_by_accident() -> None:
    """At most one constraint of a kind per release, but for the platform-bound activation lists."""
    from moe_doctor.backends.schemes import OnlyFor
    from moe_doctor.oracle.engines.vllm.releases import RELEASES

    for kernel in all_kernels().values():
        for release in RELEASES:
            kinds = [
                (type(one.inner), one.quantized) if isinstance(one, OnlyFor) else type(one)
                for one in resolve(kernel, release.release).constraints
                if not (isinstance(one, Activations) and one.platforms)
            ]
            assert len(kinds) == len(set(kinds)), (kernel.name, release.version)


def test_every_kernel_asks_for_its_device_first() -> None:
    for name, kernel in kernels_of((0, 33, 0)).items():
        if kernel.constraints:
            own = [one for one in kernel.constraints if one.stage >= 0]  # below 0: asked before it
            assert isinstance(own[0], Device), name


def test_the_registry_names_every_kernel_of_every_file() -> None:
    stated = set()
    for module in pkgutil.iter_modules(moe_doctor.backends.__path__):
        values = vars(import_module(f"moe_doctor.backends.{module.name}")).values()
        for value in values:
            for item in value if isinstance(value, tuple) else (value,):
                if isinstance(item, Kernel):
                    stated.add(item.key or item.name)
    named = [name for names in FAMILIES.values() for name in names]
    assert len(named) == len(set(named))
    assert stated == set(named) == set(all_kernels())


def test_a_format_without_a_name_is_told_by_its_blocks() -> None:
    text = "QuantKey(f8e4m3fn,scale(f32,static,GroupShape(row=64,col=64)),symmetric)"
    assert spoken_format(text) == "f8e4m3fn 64x64"
    assert spoken_format("kMxfp4Static") == "kMxfp4Static"
    assert spoken_format(None) == "plain"
