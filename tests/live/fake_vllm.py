"""A tiny package called vllm, with the few modules that the child touches, and one oracle.

It chooses as a release does in shape, not in rules: `first` and `second` are its backends. The
text is written into a folder that goes onto PYTHONPATH, beside the real torch.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

FILES = {
    "__init__.py": "__version__ = {version!r}",
    "logger.py": "import logging\ndef init_logger(name): return logging.getLogger(name)",
    "_custom_ops.py": "",
    "platforms/interface.py": """
        from collections import namedtuple
        DeviceCapability = namedtuple("DeviceCapability", "major minor")
        class Platform:
            device_name = "cpu"
            def is_unspecified(self): return {unspecified!r}
            def is_cuda(self): return False
            def is_cpu(self): return not self.is_cuda()
            @classmethod
            def device_count(cls): return 1
            @classmethod
            def get_attn_backend_cls(cls, selected, use_mla=False): return ""
            @classmethod
            def import_kernels(cls): pass
    """,
    "platforms/cuda.py": """
        from vllm.platforms.interface import Platform
        class NonNvmlCudaPlatform(Platform):
            def is_unspecified(self): return False
            def is_cuda(self): return True
    """,
    "platforms/__init__.py": """
        _current_platform = None
        def __getattr__(name):
            if name != "current_platform": raise AttributeError(name)
            global _current_platform
            if _current_platform is None:
                from vllm.platforms.interface import Platform
                _current_platform = Platform()
            return _current_platform
    """,
    "distributed/__init__.py": "",
    "distributed/parallel_state.py": "_WORLD = _TP = _PP = _DP = _EP = None",
    "compilation/__init__.py": "",
    "compilation/wrapper.py": "",
    "transformers_utils/__init__.py": "",
    "transformers_utils/config.py": "_CONFIG_REGISTRY = {{}}",
    "config/__init__.py": "",
    "config/kernel.py": """
        from typing import Literal
        MoEBackend = Literal["auto", "first_one", "second_one"]
    """,
    "engine/__init__.py": "",
    "engine/arg_utils.py": """
        import json, types
        from dataclasses import dataclass
        from pathlib import Path
        import torch
        @dataclass
        class EngineArgs:
            model: str = ""
            load_format: str = "auto"
            skip_tokenizer_init: bool = False
            trust_remote_code: bool = False
            tensor_parallel_size: int = 1
            enable_lora: bool = False
            def create_engine_config(self):
                assert self.trust_remote_code is False and self.load_format == "dummy"
                config = json.loads(Path(self.model, "config.json").read_text())
                if config["hidden_size"] % 128:
                    raise ValueError(f"hidden size of {{self.model}} is not a multiple of 128")
                return types.SimpleNamespace(
                    raw=config,
                    lora=self.enable_lora,
                    model_config=types.SimpleNamespace(
                        architectures=config["architectures"],
                        quantization=None,
                        dtype=torch.bfloat16,
                    ),
                    parallel_config=types.SimpleNamespace(
                        tensor_parallel_size=self.tensor_parallel_size, data_parallel_size=1
                    ),
                )
    """,
    "model_executor/__init__.py": "",
    "model_executor/layers/__init__.py": "",
    "model_executor/layers/fused_moe/__init__.py": "",
    "model_executor/layers/fused_moe/oracle/__init__.py": "",
    "model_executor/layers/fused_moe/oracle/unquantized.py": """
        import enum, logging
        logger = logging.getLogger("vllm.oracle")
        class FakeMoeBackend(enum.Enum):
            FIRST = "First"
            SECOND = "Second"
            THIRD = "Third"
        class Experts:
            @staticmethod
            def is_supported_config(
                cls, moe_config, weight_key, activation_key, activation_format
            ):
                return cls.judge(moe_config)
        class FirstExperts(Experts):
            @classmethod
            def judge(cls, config):
                from vllm.platforms import current_platform
                if current_platform.get_device_capability().major < 10:
                    return False, "kernel does not support current device cuda"
                return True, None
        class SecondExperts(Experts):
            @classmethod
            def judge(cls, config):
                return True, None
        class ThirdExperts(Experts):
            @classmethod
            def judge(cls, config):
                return False, "kernel does not support parallel config"
        class Format(enum.Enum):
            Standard = ("standard",)
        def backend_to_kernel_cls(backend):
            return [globals()[backend.value + "Experts"]]
        def map_fake_backend(option):
            return FakeMoeBackend[option.partition("_")[0].upper()]
        def select_unquantized_moe_backend(moe_config):
            if moe_config["lora"]:
                return FakeMoeBackend.SECOND, SecondExperts
            order = list(FakeMoeBackend)
            for backend in order:
                for one in backend_to_kernel_cls(backend):
                    fits, why = one.is_supported_config(
                        one, moe_config, None, None, Format.Standard
                    )
                    if fits:
                        logger.info("Using %s MoE backend.", backend.value)
                        return backend, one
            raise NotImplementedError("no backend")
    """,
    "model_executor/models/__init__.py": "def supports_lora(model): return {supports_lora!r}",
    "model_executor/models/registry.py": """
        class _ModelInfo: pass
        class _LazyRegisteredModel: pass
    """,
    "model_executor/model_loader/__init__.py": "",
    "model_executor/model_loader/utils.py": """
        import torch
        from vllm.distributed import parallel_state
        from vllm.model_executor.layers.fused_moe.oracle.unquantized import (
            select_unquantized_moe_backend,
        )
        class FusedMoEMethodBase: pass
        class FakeMethod(FusedMoEMethodBase):
            def __init__(self, prefix, lora):
                self.chosen = select_unquantized_moe_backend(
                    {{"lora": lora, "ranks": parallel_state._TP.world_size}}
                )
        class Layer(torch.nn.Module):
            def __init__(self, prefix, lora):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.empty(4, device="cuda"))
                assert self.weight.device.type == "meta"
                self.quant_method = FakeMethod(prefix, lora)
        class FakeModel(torch.nn.Module):
            def __init__(self, config):
                super().__init__()
                count = config.raw["num_hidden_layers"]
                self.layers = torch.nn.ModuleList(
                    Layer(f"model.layers.{{index}}.mlp.experts", config.lora)
                    for index in range(count)
                )
        def initialize_model(config):
            {broken}
            return FakeModel(config)
    """,
}


def write_fake_vllm(
    folder: Path,
    *,
    version: str = "0.20.0",
    unspecified: bool = False,
    supports_lora: bool = True,
    broken: str = "pass",
    with_modules: bool = True,
) -> Path:
    """A `python` that runs this interpreter with the package and its metadata on the path."""
    home = folder / "site"
    info = home / f"vllm-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    if with_modules:
        for name, text in FILES.items():
            path = home / "vllm" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                textwrap.dedent(text).format(
                    version=version,
                    unspecified=unspecified,
                    supports_lora=supports_lora,
                    broken=broken,
                )
            )
    return write_python(folder, f'PYTHONPATH={home} exec {sys.executable} "$@"')


def write_python(folder: Path, line: str) -> Path:
    """An executable called `python` that does what the shell line says."""
    python = folder / "python"
    python.write_text(f"#!/bin/sh\n{line}\n")
    python.chmod(0o755)
    return python
