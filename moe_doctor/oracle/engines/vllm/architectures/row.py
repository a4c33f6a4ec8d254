"""One row: the FusedMoE arguments that a model class fixes, whatever the checkpoint says.

A field that is None means that the class passes on what the checkpoint says (`RoutingSpec`).
Sources: the FusedMoE(...) calls under vllm/model_executor/models and vllm/models, 0.16 to 0.33.
"""

from __future__ import annotations

from typing import Any

from moe_doctor.core.record import record, replace
from moe_doctor.core.release import Release

FIRST: Release = (0, 16, 0)
# Files whose FusedMoE(...) call has no enable_eplb, or whose decoder layer never gives it one.
_WITHOUT_EPLB = frozenset(
    {
        "aria.py",
        "bailing_moe.py",
        "bailing_moe_linear.py",
        "bailing_moe_v3.py",
        "cohere2_moe.py",
        "dbrx.py",
        "dots1.py",
        "ernie45_vl_moe.py",
        "flex_olmo.py",
        "gemma4.py",
        "gpt_oss.py",
        "granitemoe.py",
        "grok1.py",
        "jamba.py",
        "kimi_linear.py",
        "longcat_flash.py",
        "minimax_m2.py",
        "minimax_text_01.py",
        "olmoe.py",
        "param2moe.py",
        "phimoe.py",
        "qwen2_moe.py",
        "sarvam.py",
        "step3_text.py",
        "models/flint/model.py FlintSparseMoeBlock",
        "models/inkling/nvidia/moe.py InklingMoE",
        "models/kimi_k3/nvidia/model.py KimiMoE",
        "models/minimax_m3/nvidia/model.py MiniMaxM3MoE",
    }
)


@record
class ClassRow:
    """How one model class builds its FusedMoE layers, from one release on."""

    source: str
    """File and class, under vllm/."""
    since: Release = FIRST
    """First release that it holds for; a later row of the same architecture ends it."""
    scoring: str | None = None
    """scoring_func."""
    renormalize: bool | None = None
    """renormalize."""
    renormalize_above_one: bool = False
    """Whether renormalize is `top_k > 1`."""
    grouped: bool | None = None
    """use_grouped_topk; None = where the checkpoint names groups."""
    bias: bool | None = None
    """Whether e_score_correction_bias is given."""
    method: str | None = None
    """Routing method that a custom routing function or a router of its own brings."""
    router_dtype: str | None = None
    """router_logits_dtype; None = the dtype of the hidden states."""
    activation: str | None = "silu"
    """The nonlinearity that the class names (or FusedMoE's default)."""
    sequence_parallel: bool = False
    """Whether the class passes use_sequence_parallel_moe on to the layer."""
    clamps: bool = False
    """Whether swiglu_limit is passed on."""
    scales_in_router: bool = False
    """Whether routed_scaling_factor reaches the router instead of the output."""
    least_width: int = 0
    """Width per tensor-parallel rank that the class pads narrower experts to."""
    expert_parallel: bool = True
    """Whether ModelConfig finds the number of experts, without which it refuses EP."""
    experts_bound_tp: bool = False
    """Whether the class refuses more tensor-parallel ranks than experts."""
    quantized: bool = True
    """Whether the class hands its experts the quantization config."""
    forwards_eplb: bool = True
    """Whether the decoder layer tells its experts of --enable-eplb."""
    unasked: str = ""
    """Why the class asks no oracle; empty where its experts are a FusedMoE layer."""
    unsharded: str = ""
    """Transformers' class that vLLM cannot split over tensor-parallel ranks; empty where it can."""
    rejects: tuple[str, str] = ("", "")
    """What the class raises (NotImplementedError) about --enable-eplb and about sequence
    parallelism; empty where it takes them."""
    refused: tuple[str, str] | None = None
    """Type and message of what the class raises whatever the checkpoint, or None."""
    assumed: tuple[str, ...] = ()
    """What the row takes for granted because `ModelSpec` does not carry it."""

    @property
    def file(self) -> str:
        """File name of the class, without its folders."""
        return self.source.partition(" ")[0].rpartition("/")[2]

    def passes_eplb(self, release: Release) -> bool:
        """Whether the class hands --enable-eplb on to its layer."""
        if not self.forwards_eplb:
            return False
        if "deepseek_v4" in self.source:
            return release >= (0, 24, 0)
        return self.file not in _WITHOUT_EPLB and self.source not in _WITHOUT_EPLB


def changed(row: ClassRow, since: Release, **fields: Any) -> ClassRow:
    """The same class from `since` on, with `fields` changed."""
    return replace(row, since=since, **fields)


Rows = tuple[ClassRow, ...]
Table = dict[str, Rows]


def table(*entries: tuple[str, Rows]) -> Table:
    """Rows by architecture name, from entries that name several architectures at once."""
    return {name: rows for names, rows in entries for name in names.split()}
