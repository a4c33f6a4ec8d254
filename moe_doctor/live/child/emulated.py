"""A CUDA machine that is not there: what vLLM asks of a device is answered from the request.

Capability, name, memory and count come from the request; everything that vLLM concludes from them
is its own. What is answered here is listed in `Emulation.notes`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import os
import re
import sys
import types
import typing

DEVICES = 8
"""How many devices the emulated host has, unless the deployment needs more."""

_COMPILED = re.compile(
    r"vllm\.(?:\w+\.)*(?:_?\w*_C(?:_\w+)?|_rs|_rust\w*|cumem_allocator|_?spinloop)$"
)
_OPS = (
    # csrc/libtorch_stable/quantization/w8a8/cutlass/scaled_mm_entry.cu and its neighbours, for a
    # build with CUDA >= 12.8 and every architecture; as the machine code of the published wheels
    # compares (0.20.0 to 0.33.0).
    ("_C", "cutlass_scaled_mm_supports_fp8(int c) -> bool", 89, 1000),
    ("_C", "cutlass_scaled_mm_supports_block_fp8(int c) -> bool", 90, 1000),
    ("_C", "cutlass_scaled_mm_supports_fp4(int c) -> bool", 100, 130),
    ("_C", "cutlass_group_gemm_supported(int c) -> bool", 90, 120),
    ("_C", "cutlass_sparse_scaled_mm_supported(int c) -> bool", 90, 100),
    ("_C", "mxfp4_experts_quant_supported(int c) -> bool", 100, 120),
)
_SPACES = ("_C", "_moe_C", "_C_cache_ops", "_C_custom_ar", "_C_utils", "_qutlass_C")


class MissingExtensions(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The last finder: compiled modules of vLLM that have no file here are empty ones."""

    def __init__(self) -> None:
        self.missing: list[str] = []

    def find_spec(
        self, fullname: str, path: typing.Any, target: typing.Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer for a compiled module that nobody else found."""
        if not _COMPILED.match(fullname):
            return None
        self.missing.append(fullname)
        return importlib.machinery.ModuleSpec(fullname, self)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """An empty module whose names are empty classes."""
        module = types.ModuleType(spec.name)

        def attribute(name: str) -> type:
            if name.startswith("__"):
                raise AttributeError(name)
            return type(name, (), {})

        module.__dict__["__getattr__"] = attribute
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


class Emulation:
    """One emulated machine; `install` before anything of vLLM is imported."""

    def __init__(self, machine: typing.Mapping[str, typing.Any], devices: int) -> None:
        self.notes: list[str] = []
        self._name = str(machine["name"])
        major, minor = machine["capability"]
        self._capability = (int(major), int(minor))
        self._memory = int(machine.get("memory_bytes") or 80 << 30)
        self._sms = int(machine.get("num_sms") or 132)
        self._shared = int(machine.get("shared_memory_bytes") or 232448)
        self._devices = max(devices, DEVICES)
        self._libraries: list[typing.Any] = []

    def install(self, version: str) -> None:
        """Make torch, triton and vLLM see the machine."""
        self._patch_torch(version)
        self._patch_triton()
        self._patch_vllm()
        self._fill_ops()

    # ---- torch ----------------------------------------------------------------------------

    def _patch_torch(self, version: str) -> None:
        import torch

        cuda: typing.Any = torch.cuda
        properties = types.SimpleNamespace(
            name=self._name,
            major=self._capability[0],
            minor=self._capability[1],
            total_memory=self._memory,
            multi_processor_count=self._sms,
            is_integrated=0,
            warp_size=32,
            L2_cache_size=50 << 20,
            gcnArchName="",
            shared_memory_per_block=49152,
            shared_memory_per_block_optin=self._shared,
            regs_per_multiprocessor=65536,
            max_threads_per_multi_processor=2048,
            uuid="GPU-0",
        )
        free = (self._memory, self._memory)
        answers = {
            "get_device_capability": self._capability,
            "get_device_properties": properties,
            "get_device_name": self._name,
            "current_device": 0,
            "device_count": self._devices,
            "set_device": None,
            "synchronize": None,
            "empty_cache": None,
            "mem_get_info": free,
            "is_initialized": False,
        }
        for name, answer in answers.items():
            setattr(cuda, name, _always(answer))
        accelerator: typing.Any = getattr(torch, "accelerator", None)
        shared = {
            "current_device_index": 0,
            "current_device_idx": 0,
            "device_count": self._devices,
            "synchronize": None,
            "empty_cache": None,
            "set_device_index": None,
            "is_available": True,
            "current_accelerator": torch.device("cuda"),
            "get_memory_info": free,
            "memory_allocated": 0,
            "max_memory_allocated": 0,
        }
        for name, answer in shared.items():
            if hasattr(accelerator, name):
                setattr(accelerator, name, _always(answer))
        if torch.version.cuda is None:
            # The images: CUDA 12.9 up to 0.19, 13.0 from 0.20 on.
            numbers = tuple(int(one) for one in re.findall(r"\d+", version)[:2])
            release = "13.0" if numbers >= (0, 20) else "12.9"
            typing.cast("typing.Any", torch.version).cuda = release
            self.notes.append(f"this torch has no CUDA; {release} was taken")
        typing.cast("typing.Any", torch.version).hip = None

    # ---- triton ---------------------------------------------------------------------------

    def _patch_triton(self) -> None:
        try:
            from triton import backends, runtime
            from triton.backends.compiler import GPUTarget
        except ImportError:
            self.notes.append("triton does not import here")
            return
        for name, backend in backends.backends.items():
            if getattr(backend, "driver", None):
                active = name == "nvidia"
                typing.cast("typing.Any", backend.driver).is_active = staticmethod(_always(active))
        major, minor = self._capability
        facts = {
            "multiprocessor_count": self._sms,
            "max_shared_mem": self._shared,
            "max_num_regs": 65536,
            "warpSize": 32,
            "sm_clock_rate": 1,
            "mem_clock_rate": 1,
            "mem_bus_width": 1,
        }
        driver = _Idle()
        driver.__dict__.update(
            utils=types.SimpleNamespace(get_device_properties=_always(facts)),
            get_current_target=_always(GPUTarget("cuda", major * 10 + minor, 32)),
            get_current_device=_always(0),
            get_current_stream=_always(0),
            get_device_capability=_always(self._capability),
            is_active=_always(True),
        )
        config: typing.Any = runtime.driver
        config.set_active(driver)

    # ---- vLLM -----------------------------------------------------------------------------

    def _patch_vllm(self) -> None:
        platforms: typing.Any = importlib.import_module("vllm.platforms")
        cuda: typing.Any = importlib.import_module("vllm.platforms.cuda")
        interface: typing.Any = importlib.import_module("vllm.platforms.interface")
        answers = {
            "get_device_capability": interface.DeviceCapability(*self._capability),
            "get_device_name": self._name,
            "get_device_uuid": "GPU-0",
            "get_device_total_memory": self._memory,
            "is_fully_connected": True,
            "is_pin_memory_available": False,
            "device_count": self._devices,
            "num_compute_units": self._sms,
            "is_integrated_gpu": False,
            "is_arch_support_pdl": self._capability[0] >= 9,
            "log_warnings": None,
        }
        methods = {name: classmethod(_always(answer)) for name, answer in answers.items()}
        platform = type("EmulatedCudaPlatform", (cuda.NonNvmlCudaPlatform,), methods)
        platforms._current_platform = platform()

    # ---- compiled code --------------------------------------------------------------------

    def _fill_ops(self) -> None:
        """Answer for the compiled probes that did not load here."""
        import torch

        platforms: typing.Any = importlib.import_module("vllm.platforms")
        platforms._current_platform.import_kernels()
        torch_library: typing.Any = torch.library
        absent = []
        for space, signature, least, below in _OPS:
            name = signature.partition("(")[0]
            if hasattr(getattr(torch.ops, space), name):
                continue
            library: typing.Any = torch_library.Library(space, "FRAGMENT")
            library.define(signature)

            def answer(c: int, least: int = least, below: int = below) -> bool:
                return least <= c < below

            library.impl(name, answer, "CompositeExplicitAutograd")
            self._libraries.append(library)
            absent.append(name)
        if not hasattr(torch.ops._moe_C, "moe_permute_unpermute_supported"):
            library = torch_library.Library("_moe_C", "FRAGMENT")
            library.define("moe_permute_unpermute_supported() -> bool")
            library.impl(
                "moe_permute_unpermute_supported", lambda: True, "CompositeExplicitAutograd"
            )
            self._libraries.append(library)
            absent.append("moe_permute_unpermute_supported")
        if absent:
            self.notes.append(
                "vLLM's compiled extension does not load here; its probes were answered as a "
                "build for CUDA 12.8 or later and every architecture answers them"
            )
            importlib.import_module("vllm._custom_ops")
            open_ops()


def open_ops() -> None:
    """Let every other op of vLLM's own libraries exist, without being callable."""
    import torch._ops

    namespace: typing.Any = torch._ops._OpNamespace
    real = namespace.__getattr__

    def attribute(self: typing.Any, name: str) -> typing.Any:
        try:
            return real(self, name)
        except AttributeError:
            owner = sys._getframe(1).f_globals.get("__name__", "")
            ours = self.name in _SPACES and owner.split(".")[0] == "vllm"
            if name.startswith("__") or not ours:
                raise
            return _NoOp(f"{self.name}.{name}")

    namespace.__getattr__ = attribute


class _NoOp:
    """A compiled op that is not here: it can be named, and not called."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> _NoOp:
        if name.startswith("__"):
            raise AttributeError(name)
        return _NoOp(f"{self._name}.{name}")

    def __call__(self, *_: typing.Any, **__: typing.Any) -> int:
        if self._name.endswith("workspace_size"):
            return 1 << 20
        raise RuntimeError(f"{self._name} is compiled code that does not load on this machine")


class _Idle:
    """Takes any call and does nothing: streams, events, contexts, a driver."""

    def __init__(self, *_: typing.Any, **__: typing.Any) -> None:
        """Nothing to set up."""

    def __getattr__(self, name: str) -> typing.Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _always(None)

    def __enter__(self) -> _Idle:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _always(answer: typing.Any) -> typing.Callable[..., typing.Any]:
    return lambda *_, **__: answer


def idle_streams() -> None:
    """Streams and events that are none: a real one takes memory of a device that may be full."""
    import torch

    cuda: typing.Any = torch.cuda
    cuda.Stream = type("Stream", (_Idle,), {"cuda_stream": 0})
    cuda.Event = type("Event", (_Idle,), {})
    cuda.current_stream = lambda *_, **__: cuda.Stream()
    cuda.stream = lambda *_, **__: _Idle()


def use_cpu() -> None:
    """vLLM's CPU platform, whatever this build of it was made for."""
    platforms: typing.Any = importlib.import_module("vllm.platforms")
    cpu: typing.Any = importlib.import_module("vllm.platforms.cpu")
    methods = {"is_pin_memory_available": classmethod(_always(False))}
    platforms._current_platform = type("ChosenCpuPlatform", (cpu.CpuPlatform,), methods)()


def cut_off() -> None:
    """No connection leaves this machine from here on; no telemetry; nothing from the hub."""
    import socket

    os.environ.update(
        HF_HUB_OFFLINE="1",
        TRANSFORMERS_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        VLLM_NO_USAGE_STATS="1",
        VLLM_DO_NOT_TRACK="1",
        DO_NOT_TRACK="1",
    )
    real = socket.socket.connect

    def connect(self: socket.socket, address: typing.Any) -> None:
        host = address[0] if isinstance(address, tuple) and address else ""
        if self.family != socket.AF_UNIX and host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"moe-doctor asks offline: no connection to {host}")
        real(self, address)

    typing.cast("typing.Any", socket.socket).connect = connect
