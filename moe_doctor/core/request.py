"""What a user asked for: every option of every command, checked for type but not yet acted on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from moe_doctor.core.deployment import Deployment
from moe_doctor.core.record import field, record


@record
class MachineRequest:
    """Which machine to ask about; all empty = the one this runs on."""

    gpu: str | None = None
    """Product name, such as `h100`."""
    capability: str | None = None
    """CUDA compute capability, such as `9.0`."""
    platform: str | None = None
    """`cuda`, `rocm`, `xpu`, `cpu`, `tpu` or `oot`."""
    arch: str | None = None
    """ROCm architecture, such as `gfx942`."""
    snapshot: str | None = None
    """File written by `moe-doctor env --format json`."""
    with_packages: tuple[str, ...] = ()
    """`NAME` or `NAME==VERSION`: count as installed."""
    without_packages: tuple[str, ...] = ()
    """`NAME`, or `all`: count as absent."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables on top of the machine's own."""

    @property
    def simulates(self) -> bool:
        """Whether another machine than this one is described."""
        return any((self.gpu, self.capability, self.platform, self.arch, self.snapshot))


@record
class Request:
    """One call of the doctor."""

    command: str
    """`check`, `select`, `prove` or `env`."""
    model: str | None = None
    """Directory, config.json, Hugging Face id, or catalogue id."""
    engine: str | None = None
    """`vllm@VERSION`, `installed`, or `vllm`/None = installed, else the newest in the tables."""
    python: str | None = None
    """Interpreter whose vLLM is the installed one; None = the one that runs this."""
    lora: bool | None = None
    """True, False, or None for both."""
    deployment: Deployment = field(default_factory=Deployment)
    """What would follow `vllm serve`."""
    machine: MachineRequest = field(default_factory=MachineRequest)
    """Which machine."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    hf_overrides: Mapping[str, Any] = field(default_factory=dict)
    """Keys laid over config.json before it is read."""
    speculative_config: Mapping[str, Any] = field(default_factory=dict)
    """How the server drafts tokens; method `mtp` asks about the checkpoint's own draft as well."""
    backends: tuple[str, ...] = ()
    """`prove` only: backend options to prove, or `all`."""
    level: int = 3
    """1 config, 2 + probe and oracle, 3 + the chosen backends' forward, 4 + every accepted one."""
    offline: bool = False
    """Never touch the network."""
    timeout_s: float = 120.0
    """Deadline of one proof's child process; fetching has its own, shorter one."""
    build: bool = False
    """Whether a proof may compile what it lacks first; it says what that takes."""
    require_proof: bool = False
    """Whether anything but a pass on the real GPU is inconclusive."""
    fail_on: str = "error"
    """`error`, `warning` or `never`."""
