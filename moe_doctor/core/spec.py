"""What model it is: the geometry of its MoE layers, in the field's own words.

Legend used everywhere: T num_tokens, E num_experts, k top_k, H hidden_size, I intermediate_size.
Hugging Face key names do not appear here; `moe_doctor.models` is the only room that knows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.errors import ModelError
from moe_doctor.core.named import NamedTuple
from moe_doctor.core.record import field, record


class RoutingSpec(NamedTuple):
    """How a layer turns router logits [T, E] into topk_ids [T, k] and topk_weights [T, k]."""

    scoring: str = "softmax"
    """`softmax`, `sigmoid`, `sqrtsoftplus`: applied to the router logits."""
    renormalize: bool = True
    """Whether the k chosen weights are scaled to sum to 1."""
    num_expert_group: int | None = None
    """Groups of experts of which only some are eligible per token; None or 1 = ungrouped."""
    topk_group: int | None = None
    """How many groups stay eligible."""
    has_correction_bias: bool = False
    """Whether a learned bias is added to the scores for choosing, not for weighting."""
    scaling_factor: float = 1.0
    """Factor on the chosen weights."""
    has_hash_layers: bool = False
    """Whether this layer picks experts by a table over token ids, not by logits."""
    custom: str | None = None
    """Name of a routing function that the fields above cannot say (`llama4`, `gemma4`,
    `sparsemixer`, `cohere2`, ...); None for top-k of a scoring function."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "scoring": self.scoring,
            "renormalize": self.renormalize,
            "num_expert_group": self.num_expert_group,
            "topk_group": self.topk_group,
            "has_correction_bias": self.has_correction_bias,
            "scaling_factor": self.scaling_factor,
            "has_hash_layers": self.has_hash_layers,
        }


@record
class QuantSpec:
    """How a checkpoint stores weights, as it says itself; what an engine makes of it is its own."""

    method: str
    """`fp8`, `modelopt`, `compressed-tensors`, `awq`, ...: the checkpoint's own word."""
    algorithm: str | None = None
    """Variant within the method: `NVFP4`, `FP8`, ...; None where the method says it all."""
    ignore: tuple[str, ...] = ()
    """Module patterns that stay unquantized, as written in the checkpoint."""
    source: str = "config.json"
    """The file that declared it."""
    rules: tuple[str, ...] = ()
    """Keys of the declaration that speak of these experts in particular (a config group, a
    `dynamic` rule, an entry of per-layer settings); empty where the whole model is stored alike."""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False, hash=False)
    """The declaration as found, for the engine's own rules."""

    def to_dict(self) -> dict[str, Any]:
        """JSON form, without the raw declaration."""
        return {
            "method": self.method,
            "algorithm": self.algorithm,
            "ignore": list(self.ignore),
            "source": self.source,
        }


@record
class MoESpec:
    """Geometry of one kind of MoE layer, independent of any engine's spelling."""

    num_experts: int
    """E: routed experts over all ranks; shared experts are not counted."""
    top_k: int
    """k: routed experts per token."""
    hidden_size: int
    """H: width of what the experts read (a latent width where the model projects down first)."""
    intermediate_size: int
    """I: width of one expert before tensor parallelism."""
    activation: str = "silu"
    """`silu`, `gelu`, `gelu_tanh`, `relu2`, `swigluoai`, ...: the nonlinearity alone."""
    gated: bool = True
    """Whether w13 holds gate and up rows (SwiGLU-like) or one projection (ReLU2-like)."""
    num_shared_experts: int = 0
    """Always-on experts beside the routed ones."""
    has_bias: bool = False
    """Whether expert projections carry a bias."""
    routing: RoutingSpec = RoutingSpec()
    """How tokens find their experts."""
    quantization: QuantSpec | None = None
    """How the experts' weights are stored; None = unquantized."""
    swiglu_limit: float | None = None
    """Clamp of the gated activation, where the model has one."""
    situ_betas: tuple[float, float] | None = None
    """beta and linear beta of the SiTU activation, where the model has it."""

    def __post_init__(self) -> None:
        for name in ("num_experts", "top_k", "hidden_size", "intermediate_size"):
            value = getattr(self, name)
            if value < 1:
                raise ModelError(f"{name} is {value}; expected a positive integer")


@record
class MoELayers:
    """A run of layers that share one `MoESpec`."""

    spec: MoESpec
    """Their geometry."""
    layers: tuple[int, ...]
    """Decoder layer numbers, ascending, at least one."""

    @property
    def count(self) -> int:
        """How many layers share the geometry."""
        return len(self.layers)

    @property
    def first_layer(self) -> int:
        """Number of the first of them."""
        return self.layers[0]

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        spec = self.spec
        return {
            "count": self.count,
            "first_layer": self.first_layer,
            "num_experts": spec.num_experts,
            "top_k": spec.top_k,
            "hidden_size": spec.hidden_size,
            "intermediate_size": spec.intermediate_size,
            "num_shared_experts": spec.num_shared_experts,
            "activation": spec.activation,
            "gated": spec.gated,
            "has_bias": spec.has_bias,
            "routing": spec.routing.to_dict(),
            "quantization": None if spec.quantization is None else spec.quantization.to_dict(),
        }


class RecurrentSpec(NamedTuple):
    """Sizes of a state-space or linear-attention layer that ranks have to share."""

    heads: int
    """Value heads."""
    head_size: int
    """Width of one of them."""
    groups: int
    """Groups (Mamba 2) or key heads that the heads share."""
    group_size: int
    """State width of a group, or width of a key head."""
    repeats_groups: bool = False
    """Whether groups are repeated where there are too few for the ranks (Mamba 2)."""


class AttentionSpec(NamedTuple):
    """What an engine divides among tensor-parallel ranks besides experts; None = not said."""

    heads: int | None = None
    """Attention (query) heads."""
    kv_heads: int | None = None
    """Key and value heads; None = as many as `heads`."""
    vocabulary: int | None = None
    """Rows of the embedding."""
    latent: bool = False
    """Whether keys and values are compressed (MLA)."""
    recurrent: RecurrentSpec | None = None
    """The recurrent layers' sizes, in a hybrid model."""
    norm_groups: int | None = None
    """Groups of the norm after linear attention, which ranks share (Ling 2.5)."""


class BesideSpec(NamedTuple):
    """MLPs beside attention and routed experts, which an engine may refuse; None = not said."""

    hidden_act: str = ""
    """Activation as the config spells it; empty where it names none."""
    shared_width: int | None = None
    """Width of a layer's shared experts together, before tensor parallelism."""
    dense_width: int | None = None
    """Width of a layer's MLP without experts."""
    vision_width: int | None = None
    """Width of the MLPs of a vision tower."""
    uneven_list: tuple[str, tuple[str, ...]] | None = None
    """Key and words of a list of one word per layer that has not as many as there are layers."""
    odd_words: tuple[str, ...] = ()
    """Words of `layer_types` that Transformers came to know late, or never."""
    tied: bool = False
    """Whether the output head surely shares the embedding's weights."""
    null_quantization: bool = False
    """Whether `quantization_config` is there and null."""


class VisionSpec(NamedTuple):
    """Sizes of a vision tower's linear layers; None = not said."""

    hidden: int | None = None
    """Width of a patch."""
    mlp: int | None = None
    """Width of its MLPs."""
    merged: int | None = None
    """Width of the patches that are merged into one token."""
    out: int | None = None
    """Width of that token."""
    heads: int | None = None
    """Heads of its attention."""
    deep: int = 0
    """Layers whose tokens are merged besides those of the last one (Qwen3-VL)."""


class WidthsSpec(NamedTuple):
    """Widths of a decoder layer's linear layers outside the experts; None = not said."""

    hidden: int | None = None
    """Width of a token."""
    head: int | None = None
    """Width of a query's or a key's head; with compressed keys the part without a position."""
    value: int | None = None
    """Width of a value's head, where it is another one."""
    query_rank: int | None = None
    """Width that queries are compressed to (MLA); None where they are not."""
    key_rank: int | None = None
    """Width that keys and values are compressed to (MLA)."""
    rotated: int | None = None
    """Width of a head's part with a position, where it stands apart (MLA)."""
    gates_output: bool = False
    """Whether queries come with a gate for attention's output (Qwen3-Next)."""
    gates_heads: bool = True
    """Whether a gate beside the queries, where the class has one, has a row per head."""
    softmax_layers: frozenset[int] | None = None
    """Layers of softmax attention where the others have linear attention; None elsewhere."""
    vision: VisionSpec = VisionSpec()
    """The vision tower's."""
    audio_heads: int | None = None
    """Attention heads of an audio tower."""


class ParseNote(NamedTuple):
    """Something the parser assumed or could not settle; the checks turn it into a finding."""

    kind: str
    """`unknown-family`, `assumed-default`, `ignored-key`, ..."""
    message: str
    """One sentence with what was seen and what was assumed."""


class DraftSpec(NamedTuple):
    """How a server drafts tokens, as far as it decides about layers and refusals; None = not said.

    `--speculative-config`, in the engine's own words.
    """

    method: str | None = None
    """`mtp`, `eagle3`, `ngram`, ...; None = by the draft model."""
    model: str | None = None
    """The draft model, where it is another than the served one."""
    other: ModelSpec | None = None
    """What is known of that model; None where its config could not be read."""
    named: bool = False
    """Whether a model was given at all, be it the served one."""
    num_tokens: int | None = None
    """Tokens drafted at a time."""
    tensor_parallel_size: int | None = None
    """Ranks of the draft."""
    quantization: str | None = None
    """Method of the draft's weights."""
    moe_backend: str | None = None
    """The draft's own backend."""
    keys: tuple[str, ...] = ()
    """Everything that was given, by name."""


@record
class ModelSpec:
    """A model as far as its MoE layers and an engine's oracle are concerned."""

    id: str
    """What the user named: a path or a Hugging Face id."""
    source: str
    """`directory`, `cache`, `hub` or `catalogue`: who answered."""
    architecture: str
    """First entry of the model's `architectures`, or empty."""
    model_type: str
    """The model's type as its config says (outermost)."""
    moe_layers: tuple[MoELayers, ...]
    """One entry per distinct geometry, by first layer; empty for a dense model."""
    dtype: str = "bfloat16"
    """Dtype of unquantized weights, in torch's spelling without the `torch.` prefix."""
    num_layers: int = 0
    """Decoder layers, dense ones included."""
    num_mtp_layers: int = 0
    """Draft (MTP) layers that come with the checkpoint."""
    text_architecture: str = ""
    """Architecture of the language model inside a wrapper; empty where nothing is nested."""
    draft_layers: tuple[MoELayers, ...] = ()
    """MoE layers of the checkpoint's own draft (MTP), numbered on after the decoder's."""
    own_config: bool = False
    """Whether the checkpoint brings Python code for its config (`auto_map`)."""
    attention: AttentionSpec = AttentionSpec()
    """Sizes outside the MoE layers that decide whether the model can be split at all."""
    revision: str | None = None
    """Commit of the hub's answer, or None."""
    notes: tuple[ParseNote, ...] = ()
    """What the parser had to assume."""
    beside: BesideSpec = field(default=BesideSpec(), compare=False, hash=False)
    """Linear layers that are no attention and no routed expert."""
    mtp_declared: bool = False
    """Whether the config announces `num_mtp_layers`, and not the family alone."""
    drafting: DraftSpec | None = None
    """How the server drafts tokens; None where it does not."""
    widths: WidthsSpec = field(default=WidthsSpec(), compare=False, hash=False)
    """Sizes of linear layers, which quantized checkpoints have to fit as well."""
    declared: QuantSpec | None = field(default=None, compare=False, hash=False)
    """The checkpoint's declaration, also where it leaves experts out; None where it has none."""

    @property
    def is_moe(self) -> bool:
        """Whether any layer routes tokens to experts."""
        return bool(self.moe_layers)

    def to_dict(self) -> dict[str, Any]:
        """JSON form, as in the contract."""
        return {
            "id": self.id,
            "source": self.source,
            "revision": self.revision,
            "architecture": self.architecture,
            "model_type": self.model_type,
            "dtype": self.dtype,
            "num_layers": self.num_layers,
            "is_moe": self.is_moe,
            "moe_layers": [layers.to_dict() for layers in self.moe_layers],
        }
