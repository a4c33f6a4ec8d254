"""A tiny package called vllm with the modules of its MoE path: one oracle, two experts classes.

Its functions have a release's names and a shape of their own; its kernels are our reference. What
goes wrong is chosen by the text that is put in.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

LAYERS = "model_executor/layers"
FILES = {
    "__init__.py": "__version__ = '0.20.0'",
    "_custom_ops.py": "",
    "config/__init__.py": """
        import contextlib, types
        class VllmConfig:
            def __init__(self):
                self.compilation_config = types.SimpleNamespace(max_cudagraph_capture_size=0)
        @contextlib.contextmanager
        def set_current_vllm_config(config):
            yield
    """,
    "v1/__init__.py": "",
    "v1/worker/__init__.py": "",
    "v1/worker/workspace.py": """
        import torch
        class Manager:
            _current_workspaces = [None, torch.zeros(4)]
        manager = None
        def is_workspace_manager_initialized(): return manager is not None
        def init_workspace_manager(device):
            global manager
            manager = Manager()
        def current_workspace_manager(): return manager
    """,
    "model_executor/__init__.py": "",
    f"{LAYERS}/__init__.py": "",
    f"{LAYERS}/quantization/__init__.py": "",
    f"{LAYERS}/quantization/utils/__init__.py": "",
    f"{LAYERS}/quantization/utils/quant_utils.py": "",
    f"{LAYERS}/fused_moe/__init__.py": "",
    f"{LAYERS}/fused_moe/activation.py": """
        import enum
        class MoEActivation(enum.Enum):
            SILU = "silu"
    """,
    f"{LAYERS}/fused_moe/config.py": """
        import enum
        from dataclasses import dataclass
        FUSED_MOE_UNQUANTIZED_CONFIG = "plain"
        class RoutingMethodType(enum.Enum):
            Renormalize = 1
        class FusedMoEParallelConfig:
            @classmethod
            def make_no_parallel(cls): return cls()
        @dataclass
        class FusedMoEConfig:
            num_experts: int
            activation: object
            moe_backend: str
            hidden_dim: int
    """,
    f"{LAYERS}/fused_moe/modular_kernel.py": """
        class FusedMoEExpertsMonolithic: pass
        class FusedMoEKernel:
            def __init__(self, experts): self.experts = experts
            def apply(self, hidden_states, w1, w2, topk_weights, topk_ids, activation,
                      global_num_experts, shared_experts=None):
                return self.experts.run(hidden_states, w1, w2, topk_weights, topk_ids)
    """,
    f"{LAYERS}/fused_moe/oracle/__init__.py": "",
    f"{LAYERS}/fused_moe/oracle/unquantized.py": """
        import enum, os
        from vllm.model_executor.layers.fused_moe import modular_kernel as mk
        class UnquantizedMoeBackend(enum.Enum):
            TRITON = "TRITON"
            FLASHINFER_TRTLLM = "FlashInfer TRTLLM"
            AITER = "AITER"
        class TritonExperts:
            def run(self, x, w1, w2, weights, ids):
                from moe_doctor.kernels.reference import fused_moe_reference
                return fused_moe_reference(x, w1, w2, weights, ids).to(x.dtype)
        class RoutingExperts(mk.FusedMoEExpertsMonolithic): pass
        class CrashingExperts(TritonExperts):
            def run(self, *args): os.abort()
        CLASSES = {"triton": TritonExperts, "flashinfer_trtllm": RoutingExperts,
                   "aiter": CrashingExperts}
        def select_unquantized_moe_backend(moe_config):
            if moe_config.moe_backend not in CLASSES:
                raise ValueError(f"moe_backend={moe_config.moe_backend!r} is not supported")
            name = moe_config.moe_backend.upper()
            return UnquantizedMoeBackend[name], CLASSES[moe_config.moe_backend]
        def convert_to_unquantized_kernel_format(unquantized_backend, layer, w13_weight, w2_weight):
            assert layer.moe_config.hidden_dim == w13_weight.shape[2]
            return w13_weight.clone(), w2_weight.clone()
        def make_unquantized_moe_kernel(quant_config, moe_config, backend, experts_cls{extra}):
            assert quant_config == "plain"
            return mk.FusedMoEKernel(experts_cls())
    """,
}


def write_fake_vllm(folder: Path, *, extra: str = "", broken: str = "") -> Path:
    """Write the package into `folder`; `extra` is one more parameter of the last function."""
    for name, text in FILES.items():
        file = folder / "vllm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).replace("{extra}", extra))
    if broken:
        (folder / "vllm/__init__.py").write_text(broken)
    return folder
