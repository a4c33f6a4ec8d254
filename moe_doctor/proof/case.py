"""What one forward stresses, and on which geometry: plain data that travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from moe_doctor.core.record import record
from moe_doctor.core.spec import RoutingSpec
from moe_doctor.kernels.schemes import NONE, find_scheme

ROUTINGS = (
    "random",
    "experts-without-tokens",
    "all-tokens-one-expert",
    "all-tokens-same-experts",
    "all-negative-logits",
    "odd-experts",
)
"""Routing patterns that `inputs.make_batch` knows."""

LORA_PATTERNS = ("none", "mixed", "all")
"""Which tokens have an adapter: no token, every adapter and none in turn, or every token one."""

HOWS = ("once", "twice", "graph")
"""How a case is run: one call; two calls whose outputs must be bit-equal; captured in a CUDA graph
and replayed with other inputs."""


@record
class ProofCase:
    """One forward."""

    name: str
    """Its routing pattern, or what else makes it special."""
    num_tokens: int
    """T."""
    routing: str = "random"
    """One of `ROUTINGS`."""
    seed: int = 0
    """Seed of hidden states and router logits."""
    lora_ids: str = "none"
    """One of `LORA_PATTERNS`; only `none` when no adapters are loaded."""
    scale: float = 1.0
    """Standard deviation of the hidden states."""
    zero_tokens: bool = False
    """Whether every second token is all zeros."""
    how: str = "once"
    """One of `HOWS`."""
    strided: bool = False
    """Whether hidden states and routes are slices of wider tensors."""

    def __post_init__(self) -> None:
        if self.num_tokens < 1:
            raise ValueError(f"num_tokens is {self.num_tokens}; expected at least 1")
        if self.routing not in ROUTINGS:
            raise ValueError(f"routing is {self.routing!r}; expected one of {ROUTINGS}")
        if self.lora_ids not in LORA_PATTERNS:
            raise ValueError(f"lora_ids is {self.lora_ids!r}; expected one of {LORA_PATTERNS}")
        if self.how not in HOWS:
            raise ValueError(f"how is {self.how!r}; expected one of {HOWS}")

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` gives an equal case back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProofCase:
        """Inverse of `to_dict`."""
        return cls(**data)


@record
class LoRASetup:
    """Adapters that are loaded for a proof."""

    ranks: tuple[int, ...]
    """Rank of each adapter; the tensors have the largest, the others are padded with zeros."""
    scalings: tuple[float, ...]
    """alpha / rank of each adapter; unlike, so that a swapped adapter shows."""
    modules: tuple[str, ...] = ()
    """What each adapter touches: `w13`, `w2` or `both`; empty = both, all of them."""

    def touches(self, adapter: int, module: str) -> bool:
        """Whether an adapter has tensors for `w13` or `w2`."""
        return not self.modules or self.modules[adapter] in (module, "both")

    @property
    def rank(self) -> int:
        """R: rank of the tensors."""
        return max(self.ranks)

    @property
    def max_loras(self) -> int:
        """L."""
        return len(self.ranks)


@record
class Geometry:
    """The layer that runs, beside what the model has where the two differ."""

    num_experts: int
    """E that runs."""
    num_experts_model: int
    """Experts of one rank of the model."""
    top_k: int
    """k that runs."""
    top_k_model: int
    """k of the model."""
    hidden_size: int
    """H."""
    intermediate_size_per_partition: int
    """I of one rank that runs."""
    intermediate_size_per_partition_model: int
    """I of one rank of the model."""
    activation: str
    """Nonlinearity, as `MoESpec.activation` spells it."""
    gated: bool
    """Whether w13 holds gate and up rows."""
    dtype: str
    """Dtype that runs."""
    dtype_model: str
    """Dtype of the model."""
    scheme: str = NONE
    """How weights and activations are quantized: a name of `moe_doctor.kernels.schemes`."""
    has_bias: bool = False
    """Whether both projections add a bias."""
    limit: float | None = None
    """Clamp before a gated activation: gate from above, up from both sides; None = no clamp."""
    alpha: float = 1.0
    """Factor inside the sigmoid of a gated activation: 1.702 for SwiGLU-OAI."""
    beta: float = 0.0
    """What is added to the up half: 1 for SwiGLU-OAI."""
    odd_experts: bool = False
    """Whether one expert is all zeros and one is tiny; there must be four."""

    @property
    def weight_bytes_per_expert(self) -> int:
        """Bytes of w13 and w2 of one expert as the scheme stores them, scales included."""
        scheme = find_scheme(self.scheme)
        if not scheme.bits:
            return self.elements_per_expert * self.element_bytes
        # At most a 4-byte scale per 32 values, or one per row.
        scales = self.elements_per_expert // max(32, scheme.group_k) * 4
        return self.elements_per_expert * scheme.bits // 8 + scales

    @property
    def elements_per_expert(self) -> int:
        """Elements of w13 and w2 of one expert."""
        rows = 3 if self.gated else 2
        return rows * self.hidden_size * self.intermediate_size_per_partition

    @property
    def element_bytes(self) -> int:
        """Bytes of one element of the hidden states, and of unquantized weights."""
        return 4 if self.dtype == "float32" else 2

    def shrinkage(self) -> list[str]:
        """What differs from the model, one phrase each."""
        pairs = (
            ("experts", self.num_experts, self.num_experts_model),
            ("top_k", self.top_k, self.top_k_model),
            (
                "width per rank",
                self.intermediate_size_per_partition,
                self.intermediate_size_per_partition_model,
            ),
            ("dtype", self.dtype, self.dtype_model),
        )
        return [f"{name} {ran} for {model}" for name, ran, model in pairs if ran != model]

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` gives an equal geometry back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Geometry:
        """Inverse of `to_dict`."""
        return cls(**data)


@record
class ProofPlan:
    """Everything the child needs to know."""

    implementation: str
    """`module:class` of the adapter."""
    mode: str
    """`gpu`, `interpreter` or `cpu`."""
    geometry: Geometry
    """What to run, before the child looks at free memory."""
    routing: RoutingSpec
    """How tokens find experts."""
    cases: tuple[ProofCase, ...]
    """Forwards, in order."""
    lora: LoRASetup | None = None
    """Adapters, or None."""
    share: int = 1
    """Children that run at the same time and share the memory."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form; `from_dict` gives an equal plan back."""
        return {
            "implementation": self.implementation,
            "mode": self.mode,
            "geometry": self.geometry.to_dict(),
            "routing": self.routing.to_dict(),
            "cases": [case.to_dict() for case in self.cases],
            "lora": None
            if self.lora is None
            else {
                "ranks": list(self.lora.ranks),
                "scalings": list(self.lora.scalings),
                "modules": list(self.lora.modules),
            },
            "share": self.share,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ProofPlan:
        """Inverse of `to_dict`."""
        lora = data["lora"]
        return cls(
            implementation=data["implementation"],
            mode=data["mode"],
            geometry=Geometry.from_dict(data["geometry"]),
            routing=RoutingSpec(**data["routing"]),
            cases=tuple(ProofCase.from_dict(case) for case in data["cases"]),
            lora=None
            if lora is None
            else LoRASetup(*(tuple(lora[name]) for name in ("ranks", "scalings", "modules"))),
            share=data["share"],
        )
