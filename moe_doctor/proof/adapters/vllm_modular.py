"""vLLM's own path from a checkpoint's weights to a launched kernel, for one layer; child code.

    select_*_moe_backend -> convert_to_*_kernel_format -> make_*_moe_kernel -> kernel.apply

Everything that a release says against the layer is an UnfitError with the engine's words.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from moe_doctor.kernels.quantized import QuantizedWeights
from moe_doctor.proof.adapters.base import UnfitError
from moe_doctor.proof.adapters.batches import BATCHED_TOKENS
from moe_doctor.proof.adapters.vllm_hints import about_adapters, pinned_otherwise
from moe_doctor.proof.adapters.vllm_kernel import VllmKernel
from moe_doctor.proof.adapters.vllm_lora import give_adapters, knows_original_states
from moe_doctor.proof.adapters.vllm_schemes import QUANTIZATIONS, WNA16, Quantization
from moe_doctor.proof.adapters.vllm_session import CAPTURE_SIZE, ask, find_module, open_session
from moe_doctor.proof.adapters.vllm_stored import (
    Stored,
    nvfp4_scales,
    stored,
    stored_in_turns,
)
from moe_doctor.proof.adapters.vllm_wna16 import build_wna16

if TYPE_CHECKING:
    from moe_doctor.proof.inputs import Batch, Weights

# `--moe-backend` values whose backend has another name in the oracles' enums.
_MEMBERS = {"deep_gemm": "DEEPGEMM", "cutlass": "VLLM_CUTLASS"}


def build(weights: Weights, option: str) -> VllmKernel:
    """The kernel that the installed vLLM makes of `weights` for `--moe-backend option`.

    Raises UnfitError for whatever keeps it from making one.
    """
    version = open_session(weights.w13.device)
    try:
        if weights.geometry.scheme in WNA16:
            return build_wna16(weights, option, version)
        return _Builder(weights, option, version).kernel()
    except UnfitError:
        raise
    except (ImportError, AttributeError, TypeError, LookupError, AssertionError) as error:
        # Our stand-in for its layer lacks something: no answer about the kernel.
        raise UnfitError(f"vLLM {version}: {type(error).__name__}: {error}") from error


class _Builder:
    """One layer on its way through an oracle's functions."""

    def __init__(self, weights: Weights, option: str, version: str) -> None:
        self.weights, self.option, self.version = weights, option, version
        geometry = self.geometry = weights.geometry
        found = QUANTIZATIONS.get(self.geometry.scheme)
        if found is None:
            raise UnfitError(f"{self.geometry.scheme} weights are not handed to vLLM's own code")
        self.quantization: Quantization = found
        self.oracle = find_module(f"fused_moe.oracle.{found.oracle}")
        self.kernels = find_module("fused_moe.modular_kernel")
        self.settings = find_module("fused_moe.config")
        self.sizes = (geometry.hidden_size, geometry.intermediate_size_per_partition)
        self.config = self._config()

    def kernel(self) -> VllmKernel:
        """Select, convert, make."""
        backend, experts = self._batched() if self._is_batched else self._selected()
        routes_itself = issubclass(experts, self.kernels.FusedMoEExpertsMonolithic)
        if routes_itself and not _softmax_router(experts):
            raise UnfitError(
                f"{experts.__name__} of vLLM {self.version} routes tokens by itself; a proof "
                "hands its routes over"
            )
        parts = self._stored(backend)
        pool = self._pool(backend, experts, parts)
        convert = getattr(self.oracle, self.quantization.convert, None)
        if convert is not None:
            converted = ask(convert, pool)
            pool.update(zip(self.quantization.converted, converted, strict=False))
        pool.update(w1_scale=pool.get("w13_scale"))
        quant_config = self._quant_config(pool)
        pool.update(quant_config=quant_config, moe_quant_config=quant_config)
        made = (
            self._batched_kernel(experts, pool)
            if self._is_batched
            else ask(getattr(self.oracle, self.quantization.make), pool)
        )
        if self.geometry.scheme == "nvfp4":
            _settle(made.fused_experts, pool)
        geometry, adapters = self.geometry, self.weights.adapters
        load_ids = None
        if adapters is not None:
            load_ids = give_adapters(made, adapters, geometry, self.version)
        reads_quantized = (
            adapters is not None
            and getattr(quant_config, "quant_dtype", None) is not None
            and not knows_original_states(self.version)
        )

        def hint(batch: Batch) -> str:
            if "FLASHINFER" in backend.name:
                return pinned_otherwise("vllm", "flashinfer-python")
            return about_adapters(batch, geometry, self.version, reads_quantized=reads_quantized)

        return VllmKernel(
            name=f"{experts.__module__}.{experts.__name__}",
            apply=made.apply_monolithic if routes_itself else made.apply,
            pool={
                "w1": pool["w13"],
                "w2": pool["w2"],
                "activation": self.config.activation,
                "global_num_experts": geometry.num_experts,
                "expert_map": None,
                "apply_router_weight_on_input": False,
            },
            hidden_size=self.sizes[0],
            routed=(geometry.num_experts, geometry.top_k) if routes_itself else None,
            load_ids=load_ids,
            top_k=geometry.top_k if adapters is not None else 0,
            hint=hint,
        )

    @property
    def _is_batched(self) -> bool:
        return self.option == "batched_triton"

    def _config(self) -> Any:
        geometry, settings = self.geometry, self.settings
        hidden, inner = self.sizes
        dtype = getattr(torch, geometry.dtype)
        numbers = (geometry.limit, geometry.alpha, geometry.beta)
        own = (7.0, 1.702, 1.0) if geometry.activation == "swigluoai" else (None, 1.0, 0.0)
        if numbers != own:
            raise UnfitError("numbers of a clamped activation are not handed to vLLM's own code")
        if self.quantization.in_turns and geometry.activation != "swigluoai":
            raise UnfitError(f"{geometry.scheme} is handed to vLLM for SwiGLU-OAI layers alone")
        kind = find_module("fused_moe.activation").MoEActivation
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
                "hidden_dim": hidden,
                "hidden_dim_unpadded": geometry.hidden_size,
                "intermediate_size": inner,
                "intermediate_size_per_partition": inner,
                "intermediate_size_per_partition_unpadded": (
                    geometry.intermediate_size_per_partition
                ),
                "activation": activation,
                "is_act_and_mul": geometry.gated,
                "device": self.weights.w13.device,
                "routing_method": settings.RoutingMethodType.Renormalize,
                "moe_parallel_config": settings.FusedMoEParallelConfig.make_no_parallel(),
                "in_dtype": dtype,
                "router_logits_dtype": dtype,
                "has_bias": geometry.has_bias,
                "is_lora_enabled": self.weights.adapters is not None,
                "moe_backend": "auto" if self._is_batched else self.option,
                "max_num_tokens": BATCHED_TOKENS if self._is_batched else 8192,
                "max_capture_size": CAPTURE_SIZE,
            },
        )

    def _keys(self) -> dict[str, Any]:
        if not self.quantization.weight_key:
            return {}
        known = find_module("quantization.utils.quant_utils")
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
                _first(self.oracle, self.quantization.select), {**pool, **self._keys()}
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
        module = find_module("fused_moe.prepare_finalize.batched")
        size = {"max_num_tokens": BATCHED_TOKENS, "num_dispatchers": 1}
        prepare = ask(
            module.BatchedPrepareAndFinalize,
            {**size, "num_local_experts": self.geometry.num_experts, "rank": 0},
        )
        return ask(
            self.kernels.FusedMoEKernel,
            {"prepare_finalize": prepare, "fused_experts": ask(experts, {**pool, **size})},
        )

    def _stored(self, backend: Any) -> Stored:
        """The layer's parameters, in the sizes to which its method rounds for this backend."""
        if not self.quantization.in_turns:
            return stored(self.weights, self.quantization)
        round_up = self.oracle.mxfp4_round_up_hidden_size_and_intermediate_size
        self.sizes = round_up(backend, *self.sizes)
        self.config = self._config()
        return stored_in_turns(self.weights, *self.sizes)

    def _layer(self, parts: Stored) -> torch.nn.Module:
        """What conversions read off the layer and leave on it."""
        geometry = self.geometry
        layer = torch.nn.Module()
        layer.moe_config = self.config
        layer.activation = self.config.activation
        layer.num_experts = layer.local_num_experts = geometry.num_experts  # type: ignore[assignment]
        layer.hidden_size, layer.intermediate_size_per_partition = self.sizes  # type: ignore[assignment]
        layer.orig_dtype = layer.params_dtype = getattr(torch, geometry.dtype)
        if self.quantization.block is not None:
            layer.weight_block_size = list(self.quantization.block)  # type: ignore[assignment]
        for name, values in (
            ("w13_weight", parts.w13),
            ("w2_weight", parts.w2),
            ("w13_weight_scale", parts.w13_scale),
            ("w2_weight_scale", parts.w2_scale),
            ("w13_bias", parts.w13_bias),
            ("w2_bias", parts.w2_bias),
        ):
            if values is not None:
                layer.register_parameter(name, torch.nn.Parameter(values, requires_grad=False))
        return layer

    def _pool(self, backend: Any, experts: Any, parts: Stored) -> dict[str, Any]:
        geometry = self.geometry
        pool: dict[str, Any] = {
            "backend": backend,
            "unquantized_backend": backend,
            "fp8_backend": backend,
            "mxfp4_backend": backend,
            "int8_backend": backend,
            "nvfp4_backend": backend,
            "is_act_and_mul": geometry.gated,
            "experts_cls": experts,
            "layer": self._layer(parts),
            "moe_config": self.config,
            "routing_tables": None,
            "block_shape": None if self.quantization.block is None else [*self.quantization.block],
            "per_act_token_quant": self.quantization.per_token,
            "per_out_ch_quant": self.quantization.per_channel,
            "w2_scale": parts.w2_scale,
            "w1_bias": parts.w13_bias,
            "_cache_permute_indices": {},
            "gemm1_alpha": geometry.alpha,
            "gemm1_beta": geometry.beta,
            "swiglu_limit": geometry.limit,
        }
        # TRT-LLM's conversions shuffle in place, DeepGEMM's quantize again.
        in_place = any(word in backend.name for word in ("TRTLLM", "DEEPGEMM"))
        for name, values, scale, bias in (
            ("w13", parts.w13, parts.w13_scale, parts.w13_bias),
            ("w2", parts.w2, parts.w2_scale, parts.w2_bias),
        ):
            values = values.clone() if in_place else values
            pool.update({name: values, f"{name}_weight": values, f"{name}_bias": bias})
            pool.update({f"{name}_scale": scale, f"{name}_weight_scale": scale})
        for name, part in (("w13", self.weights.w13), ("w2", self.weights.w2)):
            scale = part.input_scale if isinstance(part, QuantizedWeights) else None
            pool[f"{name}_input_scale"] = None if scale is None else scale.max()
        pool.update(a1_scale=pool["w13_input_scale"], a2_scale=pool["w2_input_scale"])
        if geometry.scheme == "nvfp4":
            pool.update(nvfp4_scales(self.weights))
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


def _settle(experts: Any, pool: Mapping[str, Any]) -> None:
    """Let nvfp4 experts see the converted layer: some multiply its scales in place."""
    if not hasattr(experts, "process_weights_after_loading"):
        return
    layer = pool["layer"]
    for name, scales in (("weight_scale_2", "scale_2"), ("input_scale", "a_scale")):
        for part in ("w13", "w2"):
            of_input = f"a{part.removeprefix('w')}_scale"
            value = pool[of_input if scales == "a_scale" else f"{part}_{scales}"]
            if value is not None:
                parameter = torch.nn.Parameter(value, requires_grad=False)
                setattr(layer, f"{part}_{name}", parameter)
    experts.process_weights_after_loading(layer)


def _softmax_router(experts: Any) -> bool:
    """Whether a class that routes by itself does it by a softmax over logits of any dtype."""
    # gpt_oss_triton_kernels_moe.py; TRT-LLM's take some dtypes, and each its own routing methods.
    return str(experts.__name__).startswith("OAITriton")


def _first(module: Any, names: str) -> Any:
    """The first of several functions that this release has; their names are parted by spaces."""
    for name in names.split():
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(f"{module.__name__} has no {' and no '.join(names.split())}")
