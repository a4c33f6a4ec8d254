"""Literal pages of backends, shared by the tests of the formats and of the schemas."""

from __future__ import annotations

from moe_doctor.core.support import (
    AskedBy,
    BackendPage,
    Condition,
    Held,
    KernelPage,
    Topic,
)
from moe_doctor.render.explain import Explanation
from moe_doctor.rules.catalog import find_rule

DEVICES = Topic(
    "devices",
    (
        Held("0.17.0", "0.20.2", (Condition("devices", "where | is", ("CUDA 9.0", "CUDA 11.x")),)),
        Held("0.21.0", "0.33.0", (Condition("devices", "where | is", ("CUDA 9.0",)),)),
    ),
)
ACTIVATIONS = Topic(
    "activations",
    (
        Held("0.17.0", "0.17.0", ()),
        Held("0.17.1", "0.23.0", (Condition("activations", "", ("gelu", "relu2_no_mul", "silu")),)),
        Held(
            "0.24.0",
            "0.33.0",
            (Condition("activations", "", ("gelu_tanh", "relu2_no_mul", "silu")),),
        ),
    ),
)
LORA = Topic(
    "LoRA",
    (Held("0.17.0", "0.19.1", ()), Held("0.20.0", "0.33.0", (Condition("LoRA", "no"),))),
)
PAGE = Explanation(
    backends=(
        BackendPage(
            "fast_moe",
            ("0.17.0", "0.33.0"),
            (
                AskedBy("unquantized", "Fast", None, ("FastExperts",), "0.16.0", "0.16.0"),
                AskedBy("unquantized", "Fast", "fast_moe", ("FastExperts",), "0.17.0", "0.33.0"),
                AskedBy("fp8", "Fast", "fast_moe", ("FastExperts",), "0.17.0", "0.33.0"),
                AskedBy("mxfp4", "Fast", "faster_moe", (), "0.20.0", "0.33.0"),
            ),
            (
                KernelPage("FastExperts", "fused_moe/fast.py", (DEVICES, ACTIVATIONS, LORA)),
                KernelPage("[bold]::odd\x1b", "a`b", ()),
            ),
        ),
        BackendPage("mega", ("0.20.0", "0.33.0"), (), ()),
        BackendPage("LoraExperts", None, (), (KernelPage("LoraExperts", "lora.py", (LORA,)),)),
    )
)
INDEX = Explanation(
    rules=(find_rule("MOE412"), find_rule("MOE421")), names=("triton", "flashinfer_cutlass")
)
