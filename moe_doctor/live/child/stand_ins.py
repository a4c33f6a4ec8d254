"""What a model's constructor needs and one process without weights cannot have.

Process groups (sizes only, rank 0), device memory (meta tensors), an attention backend that takes
every model, a compiler that does nothing. None of it is asked for a MoE kernel.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import types
import typing

_ATTENTION = "moe_doctor_attention"


class Group:
    """A process group of which only the size is real."""

    def __init__(self, size: int, name: str) -> None:
        self.world_size = size
        self.unique_name = name
        self.ranks = list(range(size))
        self.rank = self.rank_in_group = self.local_rank = self.first_rank = 0
        self.last_rank = size - 1
        self.next_rank = self.prev_rank = 0
        self.is_first_rank = True
        self.is_last_rank = size == 1
        self.device_group = self.cpu_group = Ranks(size)
        self.use_device_communicator = size > 1
        self.device_communicator = self.mq_broadcaster = None
        self.use_custom_op_call = False

    def __getattr__(self, name: str) -> typing.Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda value=None, *_, **__: value


class Ranks:
    """Stands for `torch.distributed.ProcessGroup`."""

    def __init__(self, count: int) -> None:
        self.count = count

    def size(self) -> int:
        """How many ranks."""
        return self.count

    def rank(self) -> int:
        """This one."""
        return 0


def set_groups(tensor: int, data: int, prefill: int) -> None:
    """Make vLLM see groups of these sizes; every layer is on this pipeline stage."""
    state: typing.Any = importlib.import_module("vllm.distributed.parallel_state")
    experts = tensor * data * prefill
    sizes = {
        "_WORLD": tensor * data,
        "_TP": tensor,
        "_PP": 1,
        "_DP": data,
        "_EP": experts,
        "_EPLB": experts,
        "_PCP": prefill,
        "_DCP": 1,
        "_INNER_DP_WORLD": tensor,
    }
    for name, size in sizes.items():
        if hasattr(state, name):
            setattr(state, name, Group(size, name[1:].lower()))
    if hasattr(state, "_NODE_COUNT"):
        state._NODE_COUNT = 1


def install(devices: int) -> None:
    """All stand-ins that hold for every build; `devices` is how many the deployment needs."""
    import torch

    distributed: typing.Any = torch.distributed
    distributed.get_world_size = _world_size
    distributed.get_rank = lambda group=None: 0
    _inspect_here()
    _count_devices(devices)
    _replace_attention()
    _silence_compiler()
    # An expert map on meta has no values to look at, and is only counted and logged.
    fx: typing.Any = importlib.import_module("torch.fx.experimental._config")
    fx.meta_nonzero_assume_all_nonzero = True
    for loaded in _loaded():
        if "get_compressed_expert_map" in vars(loaded):
            setattr(loaded, "get_compressed_expert_map", lambda *_, **__: "")  # noqa: B010
    try:
        workspace: typing.Any = importlib.import_module("vllm.v1.worker.workspace")
        if not workspace.is_workspace_manager_initialized():
            workspace.init_workspace_manager(torch.device("meta"))
    except (ImportError, AttributeError):  # a release without workspaces
        return


def on_meta() -> typing.Any:
    """A context in which every tensor is a meta tensor, also where a device is named."""
    import torch
    from torch.overrides import TorchFunctionMode

    def moved(device: typing.Any) -> typing.Any:
        if isinstance(device, bool) or device is None:
            return device
        if isinstance(device, int):
            return "meta"
        if isinstance(device, (str, torch.device)):
            return "meta" if torch.device(device).type in ("cuda", "xpu") else device
        return device

    class OnMeta(TorchFunctionMode):
        def __torch_function__(
            self,
            func: typing.Any,
            types: typing.Any,
            args: typing.Any = (),
            kwargs: typing.Any = None,
        ) -> typing.Any:
            named = dict(kwargs or {})
            if "device" in named:
                named["device"] = moved(named["device"])
            name = getattr(func, "__name__", "")
            if name == "item" and args[0].device.type == "meta":
                return 0
            if name == "cuda":
                return args[0].to("meta")
            if name == "to":
                args = tuple(
                    moved(one)
                    if isinstance(one, torch.device)
                    or (isinstance(one, str) and one.startswith(("cuda", "xpu")))
                    else one
                    for one in args
                )
            return func(*args, **named)

    return OnMeta()


def _world_size(group: typing.Any = None) -> int:
    if isinstance(group, Ranks):
        return group.count
    state: typing.Any = importlib.import_module("vllm.distributed.parallel_state")
    return state._WORLD.world_size if state._WORLD else 1


def _loaded() -> list[types.ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.split(".")[0] == "vllm" and module is not None
    ]


def _inspect_here() -> None:
    """vLLM looks at a model class in another process, which would see another machine."""
    registry: typing.Any = importlib.import_module("vllm.model_executor.models.registry")

    def inspect_model_cls(self: typing.Any) -> typing.Any:
        return registry._ModelInfo.from_model_cls(self.load_model_cls())

    registry._LazyRegisteredModel.inspect_model_cls = inspect_model_cls


def _count_devices(needed: int) -> None:
    """A deployment may be asked about on a machine with fewer devices than it needs."""
    platforms: typing.Any = importlib.import_module("vllm.platforms")
    platform = type(platforms.current_platform)
    try:
        count = max(needed, int(platform.device_count()))
    except Exception:  # a platform that counts otherwise is asked through the names below
        count = needed
    platform.device_count = classmethod(lambda cls: count)
    for loaded in _loaded():
        for name in ("cuda_device_count_stateless", "_cuda_device_count_stateless"):
            if name in vars(loaded):
                setattr(loaded, name, lambda *_, **__: count)


def _replace_attention() -> None:
    """Attention is not what is asked: one that takes every model, and computes nothing."""
    platforms: typing.Any = importlib.import_module("vllm.platforms")
    platform = type(platforms.current_platform)
    real = platform.get_attn_backend_cls
    signature = inspect.signature(real)

    def get_attn_backend_cls(cls: type, *args: typing.Any, **kwargs: typing.Any) -> str:
        bound = signature.bind(*args, **kwargs).arguments
        seen = [bound.get("use_mla", False)]
        seen += [getattr(value, "use_mla", False) for value in bound.values()]
        if platforms.current_platform.is_cpu():
            return f"{_ATTENTION}.Cpu"
        kind = "Mla" if any(one is True for one in seen) else "Plain"
        return f"{_ATTENTION}.{kind}"

    platform.get_attn_backend_cls = classmethod(get_attn_backend_cls)
    module = types.ModuleType(_ATTENTION)
    sys.modules[_ATTENTION] = module

    def attribute(name: str) -> type:
        where = {
            "Plain": ("vllm.v1.attention.backends.triton_attn", "TritonAttentionBackend"),
            "Cpu": ("vllm.v1.attention.backends.cpu_attn", "CPUAttentionBackend"),
            "Mla": ("vllm.v1.attention.backends.mla.triton_mla", "TritonMLABackend"),
        }
        if name not in where:
            raise AttributeError(name)
        source, backend = where[name]
        made = _idle_backend(getattr(importlib.import_module(source), backend))
        setattr(module, name, made)
        return made

    module.__dict__["__getattr__"] = attribute


def _idle_backend(real: typing.Any) -> type:
    class Implementation(real.get_impl_cls()):  # type: ignore[misc]
        def __init__(self, *_: typing.Any, **kwargs: typing.Any) -> None:
            self.__dict__.update(kwargs)

        def __getattr__(self, name: str) -> None:
            if name.startswith("__"):
                raise AttributeError(name)

    implementation: typing.Any = Implementation
    implementation.__abstractmethods__ = frozenset()
    return type(real.__name__, (real,), {"get_impl_cls": staticmethod(lambda: Implementation)})


def _silence_compiler() -> None:
    """Models are decorated for torch.compile; their wrappers need a worker's surroundings."""
    wrapper: typing.Any = importlib.import_module("vllm.compilation.wrapper")
    for name, value in vars(wrapper).items():
        if isinstance(value, type) and "Wrapper" in name and "__init__" in value.__dict__:
            typing.cast("typing.Any", value).__init__ = lambda self, *_, **__: None
