"""What one family of models writes into its config, as one row of data.

A row names keys and rules; `moe_doctor.models.parse` is the only reader. Values that a config
class fills in when a key is missing are `defaults`, from transformers' configuration_*.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from moe_doctor.core.record import field, record
from moe_doctor.core.spec import RoutingSpec
from moe_doctor.models.fields import Fields
from moe_doctor.models.layer_rules import standard_layers
from moe_doctor.models.routing import standard_routing
from moe_doctor.models.shared_experts import standard_shared

LayerRule = Callable[[Fields, int], Collection[int]]
"""(section, number of decoder layers) -> numbers of the layers with experts."""

CountRule = Callable[[Fields], int | None]
"""Section -> number of decoder layers, or None to read the keys."""

LayerView = Callable[[Fields, int], Fields]
"""(section, layer number) -> the section as that layer sees it."""

RoutingRule = Callable[[Fields, int], RoutingSpec]
"""(section of the layer, layer number) -> routing."""

SharedRule = Callable[[Fields], int]
"""Section of the layer -> always-on experts."""

ActivationRule = Callable[[Fields, int], str]
"""(section of the layer, layer number) -> activation, in our words."""

BankRule = Callable[[Fields], tuple[Fields, ...]]
"""Section of the layer -> one section per bank of experts; most layers have one bank."""

LAYER_KEYS = ("num_hidden_layers", "num_layers", "n_layers", "n_layer")
EXPERT_KEYS = (
    "n_routed_experts",
    "num_local_experts",
    "num_experts",
    "moe_num_experts",
    "num_routed_experts",
    "num_moe_experts",
    "n_experts",
)
TOP_K_KEYS = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
    "experts_per_token",
    "num_selected_experts",
    "num_activated_experts",
    "n_activated_experts",
)
HIDDEN_KEYS = ("hidden_size", "d_model", "n_embd")
WIDTH_KEYS = (
    "moe_intermediate_size",
    "expert_intermediate_size",
    "expert_ffn_hidden_size",
    "moe_ffn_hidden_size",
    "expert_hidden_dim",
    "intermediate_size",
    "ffn_hidden_size",
)


@record
class Family:
    """One row of the family tables."""

    name: str
    """Ours, for messages."""
    model_types: tuple[str, ...]
    """Values of the innermost (text) `model_type`."""
    architectures: tuple[str, ...] = ()
    """Class names, for configs whose model_type says nothing."""
    layer_count: tuple[str, ...] = LAYER_KEYS
    """Keys of the number of decoder layers."""
    count: CountRule | None = None
    """Number of decoder layers, where a pattern says it rather than a key."""
    experts: tuple[str, ...] = EXPERT_KEYS
    """Keys of E."""
    top_k: tuple[str, ...] = TOP_K_KEYS
    """Keys of k."""
    hidden: tuple[str, ...] = HIDDEN_KEYS
    """Keys of H, a latent width first where the experts read one."""
    width: tuple[str, ...] = WIDTH_KEYS
    """Keys of I."""
    layers: LayerRule = standard_layers
    """Which layers have experts."""
    view: LayerView | None = None
    """How a layer sees the section, where layers differ."""
    banks: BankRule | None = None
    """How many sets of experts a layer has, where it has more than one."""
    routing: RoutingRule = standard_routing
    """How tokens find experts."""
    shared: SharedRule = standard_shared
    """Always-on experts."""
    activation: str | ActivationRule | None = None
    """Fixed, by rule, or None = read from the section."""
    gated: bool = True
    """Whether w13 holds gate and up rows."""
    has_bias: bool = False
    """Whether expert projections carry a bias."""
    block: str = "mlp.experts"
    """Module path of the experts below a decoder layer, for ignore lists."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What the family's config class assumes for absent keys."""
    section: str | None = None
    """Nested object whose keys belong to the section too (`ffn_config` of DBRX)."""
    swiglu_limit: bool = False
    """Whether `swiglu_limit` clamps the experts' activation in this family."""
    draft: str = ""
    """Where MTP layers with experts are: `after` the decoder's (`always`: whatever the rule for
    those says), or `beside` them in `mtp.layers`; empty where the family's have none."""
    draft_step: int = 1
    """Sub-layers per MTP layer of a module beside, of which the last has the experts."""
    draft_count: int = 0
    """MTP layers where the config does not say how many."""
    swiglu_limits: str = ""
    """Key of a list with one such limit per layer, where the family has that."""
