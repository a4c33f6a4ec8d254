"""What is known about a wrong result of vLLM's own kernels: said beside the numbers, never instead.

Seen on an H100 with vLLM 0.20.0, each in a proof that failed; child code.
"""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from moe_doctor.core.release import parse_release
from moe_doctor.rules import lora as rules

if TYPE_CHECKING:
    from moe_doctor.proof.case import Geometry
    from moe_doctor.proof.inputs import Batch

_SPARSITY = 8
# lora/punica_wrapper/punica_gpu.py, add_lora_w13: fewer pairs than this share of the experts and
# adapters are not aligned, and read each token's id.


def pinned_otherwise(package: str, name: str) -> str:
    """That `name` is installed in another release than `package` asks for; empty where it is not.

    Layouts change between releases: FlashInfer 0.6.11 began to want mxfp4 weights interleaved.
    """
    try:
        wanted = metadata.requires(package) or []
        installed = metadata.version(name)
        release = metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
    for line in wanted:
        pin = re.match(rf"{re.escape(name)}\s*==\s*([^\s;,]+)", line)
        if pin is not None and pin[1] != installed:
            return f"{package} {release} pins {name} {pin[1]}; {installed} is installed"
    return ""


def about_adapters(batch: Batch, geometry: Geometry, version: str, *, reads_quantized: bool) -> str:
    """What vLLM's MoE LoRA is known to do with such a batch; empty where nothing is known."""
    release = parse_release(version)
    if batch.lora is None or release is None:
        return ""
    ids = set(batch.lora.lora_ids.tolist())
    adapters = {one for one in ids if one >= 0}
    pairs = batch.topk_ids.numel()
    if not adapters and rules.STALE_ADAPTERS.vllm.holds(release):
        few = pairs * _SPARSITY <= geometry.num_experts * batch.lora.max_loras
        return (
            f"vLLM {version} keeps the adapter ids of the batch before (vllm-project/vllm#42008)"
            if few
            else ""
        )
    if reads_quantized:
        return f"vLLM {version} hands its adapters' kernels quantized hidden states"
    full = -1 in ids and len(adapters) == batch.lora.max_loras
    if full and rules.MIXED_BATCHES.vllm.holds(release):
        return (
            f"vLLM {version} aligns max_loras={batch.lora.max_loras} kinds of tokens, and those "
            "without an adapter count as one: an adapter is left out; with --max-loras one higher "
            "than the adapters in use none is"
        )
    return ""
