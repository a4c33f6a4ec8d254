"""vLLM's own path from a checkpoint's weights to a launched kernel, for one layer; child code.

    select_*_moe_backend -> convert_to_*_kernel_format -> make_*_moe_kernel -> kernel.apply

Signatures differ between releases (0.20.0 to 0.33.0 were read), so every function is called with
what it asks for by name, out of a pool of named values. A required name that is not in the pool,
and everything that a release says against the layer, is an UnfitError with the engine's words.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.kernels.schemes import NONE
from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.batches import BATCHED_TOKENS
from moe_doctor.proof.adapters.vllm_schemes import QUANTIZATIONS, Quantization

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Batch, Weights

_LAYERS = "vllm.model_executor.layers"
_SESSION = contextlib.ExitStack()
# What a served model gets for its largest CUDA graph: min(2 * max_num_seqs, 512).
_CAPTURE_SIZE = 512
# `--moe-backend` values whose backend has another name in the oracles' enums.
_MEMBERS = {"deep_gemm": "DEEPGEMM", "cutlass": "VLLM_CUTLASS"}


@dataclass(frozen=True, slots=True)
class VllmKernel:
    """A modular kernel and what its `apply` is told with every batch."""

    name: str
    """`vllm.<module>.<class>` of the experts."""
    apply: Callable[..., Any]
    """`FusedMoEKernel.apply`."""
    pool: Mapping[str, Any]
    """Weights in the kernel's layout, activation and expert count."""

    def __call__(self, batch: Batch) -> torch.Tensor:  # [T, H]
        """The layer's output; the workspace that calls share is filled with NaN before."""
        _poison_workspace()
        out: torch.Tensor = ask(
            self.apply,
            {
                **self.pool,
                "hidden_states": batch.hidden_states,
                "topk_weights": batch.topk_weights,
                "topk_ids": batch.topk_ids,
            },
        )
        return out


def build(weights: Weights, option: str) -> VllmKernel:
    """The kernel that the installed vLLM makes of `weights` for `--moe-backend option`.

    Raises UnfitError for whatever keeps it from making one.
    """
    version = open_session(weights.w13.device)
    try:
        return _Builder(weights, option, version).kernel()
    except UnfitError:
        raise
    except (ImportError, AttributeError, TypeError, KeyError, AssertionError) as error:
        # Our stand-in for its layer lacks something: no answer about the kernel.
        raise UnfitError(f"vLLM {version}: {type(error).__name__}: {error}") from error


def open_session(device: torch.device) -> str:
    """Import vLLM and give it the config and the workspace that its layers expect; its version."""
    try:
        vllm = importlib.import_module("vllm")
        importlib.import_module("vllm._custom_ops")
        for extension in ("_C", "_C_stable_libtorch", "_moe_C"):
            with contextlib.suppress(ModuleNotFoundError):
                importlib.import_module(f"vllm.{extension}")
        config = importlib.import_module("vllm.config")
        workspace = importlib.import_module("vllm.v1.worker.workspace")
    except Exception as error:  # whatever an installation can be broken by
        text = f"{type(error).__name__}: {error}"
        raise UnfitError(f"the installed vLLM does not import here: {text}") from error
    if not workspace.is_workspace_manager_initialized():
        settings = config.VllmConfig()
        settings.compilation_config.max_cudagraph_capture_size = _CAPTURE_SIZE
        _SESSION.enter_context(config.set_current_vllm_config(settings))
        workspace.init_workspace_manager(device)
    return str(vllm.__version__)


def ask(function: Callable[..., Any], pool: Mapping[str, Any]) -> Any:
    """Call `function` with the entries of `pool` that it has parameters for."""
    parameters = inspect.signature(function).parameters.values()
    missing = [
        one.name
        for one in parameters
        if one.default is one.empty
        and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)
        and one.name not in pool
    ]
    if missing:
        name = getattr(function, "__qualname__", str(function))
        raise UnfitError(f"{name} of this vLLM asks for {', '.join(missing)}")
    return function(**{one.name: pool[one.name] for one in parameters if one.name in pool})


class _Builder:
    """One layer on its way through an oracle's functions."""

    def __init__(self, weights: Weights, option: str, version: str) -> None:
        self.weights, self.option, self.version = weights, option, version
        self.geometry = weights.geometry
        found = QUANTIZATIONS.get(self.geometry.scheme)
        if found is None:
            raise UnfitError(f"{self.geometry.scheme} weights are not handed to vLLM's own code")
        self.quantization: Quantization = found
        self.oracle = _module(f"fused_moe.oracle.{found.oracle}")
        self.kernels = _module("fused_moe.modular_kernel")
        self.settings = _module("fused_moe.config")
        self.config = self._config()

    def kernel(self) -> VllmKernel:
        """Select, convert, make."""
        backend, experts = self._batched() if self._is_batched else self._selected()
        if issubclass(experts, self.kernels.FusedMoEExpertsMonolithic):
            raise UnfitError(
                f"{experts.__name__} of vLLM {self.version} routes tokens by itself; a proof "
                "hands its routes over"
            )
        layer = self._layer()
        pool = self._pool(backend, experts, layer)
        converted = ask(getattr(self.oracle, self.quantization.convert), pool)
        names = ("w13", "w2", "w13_scale", "w2_scale")
        pool.update(zip(names, converted, strict=False))
        pool.update(w1_scale=pool.get("w13_scale"))
        quant_config = self._quant_config(pool)
        pool.update(quant_config=quant_config, moe_quant_config=quant_config)
        made = (
            self._batched_kernel(experts, pool)
            if self._is_batched
            else ask(getattr(self.oracle, self.quantization.make), pool)
        )
        return VllmKernel(
            name=f"{experts.__module__}.{experts.__name__}",
            apply=made.apply,
            pool={
                "w1": pool["w13"],
                "w2": pool["w2"],
                "activation": self.config.activation,
                "global_num_experts": self.geometry.num_experts,
                "expert_map": None,
                "apply_router_weight_on_input": False,
            },
        )

    @property
    def _is_batched(self) -> bool:
        return self.option == "batched_triton"

    def _config(self) -> Any:
        geometry, settings = self.geometry, self.settings
        dtype = getattr(torch, geometry.dtype)
        if geometry.limit is not None or geometry.alpha != 1.0 or geometry.beta:
            raise UnfitError("numbers of a clamped activation are not handed to vLLM's own code")
        kind = _module("fused_moe.activation").MoEActivation
        name = geometry.activation + ("" if geometry.gated else "_no_mul")
        try:
            activation = kind(name)
        except ValueError as error:
            raise UnfitError(f"vLLM {self.version} has no activation {name}") from error
        return ask(
            settings.FusedMoEConfig,
            {
                "num_experts": geometry.num_experts,
                "num_local_experts": geometry.num_experts,
                "num_logical_experts": geometry.num_experts,
                "experts_per_token": geometry.top_k,
                "hidden_dim": geometry.hidden_size,
                "intermediate_size": geometry.intermediate_size_per_partition,
                "intermediate_size_per_partition": geometry.intermediate_size_per_partition,
                "activation": activation,
                "is_act_and_mul": geometry.gated,
                "device": self.weights.w13.device,
                "routing_method": settings.RoutingMethodType.Renormalize,
                "moe_parallel_config": settings.FusedMoEParallelConfig.make_no_parallel(),
                "in_dtype": dtype,
                "router_logits_dtype": dtype,
                "has_bias": geometry.has_bias,
                "is_lora_enabled": False,
                "moe_backend": "auto" if self._is_batched else self.option,
                "max_num_tokens": BATCHED_TOKENS if self._is_batched else 8192,
                "max_capture_size": _CAPTURE_SIZE,
            },
        )

    def _keys(self) -> dict[str, Any]:
        if self.geometry.scheme == NONE:
            return {}
        known = _module("quantization.utils.quant_utils")
        try:
            return {
                "weight_key": getattr(known, self.quantization.weight_key),
                "activation_key": getattr(known, self.quantization.activation_key),
            }
        except AttributeError as error:
            raise UnfitError(f"vLLM {self.version} has no such quantization key: {error}") from None

    def _selected(self) -> tuple[Any, Any]:
        """What the oracle answers to the option."""
        pool = {"moe_config": self.config, "config": self.config, "allow_vllm_cutlass": True}
        try:
            backend, experts = ask(
                getattr(self.oracle, self.quantization.select), {**pool, **self._keys()}
            )
        except (ValueError, NotImplementedError) as error:
            raise UnfitError(f"vLLM {self.version} refuses {self.option}: {error}") from error
        wanted = _MEMBERS.get(self.option, self.option.upper())
        if experts is None or wanted not in backend.name:
            raise UnfitError(f"vLLM {self.version} takes {backend.name} for {self.option}")
        return backend, experts

    def _batched(self) -> tuple[Any, Any]:
        """The batched experts, which no option of a single GPU leads to."""
        backend = next(
            one
            for name, one in vars(self.oracle).items()
            if name.endswith("MoeBackend") and hasattr(one, "BATCHED_TRITON")
        ).BATCHED_TRITON
        found = self.oracle.backend_to_kernel_cls(backend)
        experts = found[0] if isinstance(found, (list, tuple)) else found
        keys = self._keys()
        fits, why = experts.is_supported_config(
            experts,
            self.config,
            keys.get("weight_key"),
            keys.get("activation_key"),
            self.kernels.FusedMoEActivationFormat.BatchedExperts,
        )
        if not fits:
            raise UnfitError(f"vLLM {self.version} refuses {self.option}: {why}")
        return backend, experts

    def _batched_kernel(self, experts: Any, pool: Mapping[str, Any]) -> Any:
        module = _module("fused_moe.prepare_finalize.batched")
        size = {"max_num_tokens": BATCHED_TOKENS, "num_dispatchers": 1}
        prepare = ask(
            module.BatchedPrepareAndFinalize,
            {**size, "num_local_experts": self.geometry.num_experts, "rank": 0},
        )
        return ask(
            self.kernels.FusedMoEKernel,
            {"prepare_finalize": prepare, "fused_experts": ask(experts, {**pool, **size})},
        )

    def _layer(self) -> torch.nn.Module:
        """What conversions read off the layer and leave on it."""
        geometry, weights = self.geometry, self.weights
        layer = torch.nn.Module()
        layer.moe_config = self.config
        layer.activation = self.config.activation
        layer.num_experts = layer.local_num_experts = geometry.num_experts  # type: ignore[assignment]
        layer.hidden_size = geometry.hidden_size  # type: ignore[assignment]
        layer.intermediate_size_per_partition = geometry.intermediate_size_per_partition  # type: ignore[assignment]
        layer.orig_dtype = layer.params_dtype = getattr(torch, geometry.dtype)
        if self.quantization.block is not None:
            layer.weight_block_size = list(self.quantization.block)  # type: ignore[assignment]
        for name, part in (("w13", weights.w13), ("w2", weights.w2)):
            values = part.values if isinstance(part, QuantizedWeights) else part
            layer.register_parameter(
                f"{name}_weight", torch.nn.Parameter(values, requires_grad=False)
            )
        return layer

    def _pool(self, backend: Any, experts: Any, layer: torch.nn.Module) -> dict[str, Any]:
        pool: dict[str, Any] = {
            "backend": backend,
            "unquantized_backend": backend,
            "fp8_backend": backend,
            "experts_cls": experts,
            "layer": layer,
            "moe_config": self.config,
            "routing_tables": None,
            "w1_bias": self.weights.bias13,
            "w2_bias": self.weights.bias2,
            "block_shape": None if self.quantization.block is None else [*self.quantization.block],
            "per_act_token_quant": self.quantization.per_token,
            "per_out_ch_quant": self.quantization.per_channel,
        }
        for name, part in (("w13", self.weights.w13), ("w2", self.weights.w2)):
            if isinstance(part, QuantizedWeights):
                values, stored = part.values, part.input_scale
                # Conversions clamp scales in place: the reference keeps its own.
                pool[f"{name}_scale"] = self.quantization.scales(part.scales.clone())
                pool[f"{name}_input_scale"] = None if stored is None else stored.max()
            else:
                values = part
            # TRT-LLM's conversions shuffle in place, DeepGEMM's quantize again.
            in_place = any(word in backend.name for word in ("TRTLLM", "DEEPGEMM"))
            pool[name] = values.clone() if in_place else values
            pool[f"{name}_weight"] = pool[name]
        pool.update(a1_scale=pool.get("w13_input_scale"), a2_scale=pool.get("w2_input_scale"))
        return pool

    def _quant_config(self, pool: Mapping[str, Any]) -> Any:
        has_bias, make = self.geometry.has_bias, self.quantization.config
        if not make:
            if not has_bias:
                return self.settings.FUSED_MOE_UNQUANTIZED_CONFIG
            return self.settings.biased_moe_quant_config(pool["w1_bias"], pool["w2_bias"])
        function = getattr(self.oracle, make)
        if has_bias and "w1_bias" not in inspect.signature(function).parameters:
            raise UnfitError(f"{make} of vLLM {self.version} takes no bias")
        return ask(function, pool)


def _module(name: str) -> Any:
    return importlib.import_module(f"{_LAYERS}.{name}")


def _poison_workspace() -> None:
    """vLLM's workspace outlives a call: what the last one left there must not pass for a result."""
    workspace = importlib.import_module("vllm.v1.worker.workspace")
    manager = workspace.current_workspace_manager()
    buffers = getattr(manager, "_current_workspaces", None) or ()
    for buffer in buffers.values() if isinstance(buffers, dict) else buffers:
        if isinstance(buffer, torch.Tensor):
            buffer.view(torch.uint8).fill_(255)  # all ones is NaN in every dtype
