"""Known GPUs as data, one row each; nothing here is read from a machine.

Sources:
- capability, shared memory: NVIDIA CUDA C++ Programming Guide, tables "Compute Capabilities" and
  "Technical Specifications per Compute Capability" (largest shared memory per thread block).
- memory of NVIDIA cards: the total that nvidia-smi prints, in MiB; of B300, GB300, GB10, Thor, Orin
  it depends on driver and carve-outs, so that a real machine differs by some percent.
- bandwidth, multiprocessors: the vendors' data sheets (peak figures).
- names: `torch.cuda.get_device_name`, as in the file names of vLLM's tuned MoE configs
  (vllm/model_executor/layers/fused_moe/configs) where one exists there.
- AMD LDS: CDNA3, CDNA4 and RDNA instruction set guides (64 KiB per workgroup; CDNA4 160 KiB).
"""

from __future__ import annotations

from moe_doctor.core.record import record

_MIB = 1 << 20
_KIB = 1 << 10


@record
class KnownGpu:
    """One product."""

    key: str
    """Short name, the canonical spelling of `--gpu`."""
    device_name: str
    """What `torch.cuda.get_device_name` returns."""
    platform: str
    """`cuda`, `rocm`, `xpu` or `cpu`."""
    capability: tuple[int, int] | None
    """CUDA compute capability; None off CUDA."""
    arch: str | None
    """ROCm architecture; None off ROCm."""
    memory_bytes: int | None
    """Device memory; None for a CPU."""
    bandwidth_bytes_per_s: int | None
    """Peak memory bandwidth; None for a CPU."""
    num_sms: int | None
    """Streaming multiprocessors, compute units or Xe cores."""
    aliases: tuple[str, ...] = ()
    """Other spellings; case, spaces, dashes and vendor names do not count."""
    other_names: tuple[str, ...] = ()
    """Device names of variants with the same figures."""
    cpu_arch: str = "x86_64"
    """Architecture of the host that it comes in."""

    @property
    def shared_memory_bytes(self) -> int | None:
        """Largest shared memory that one block can ask for."""
        return shared_memory_of(self.capability, self.arch, self.platform)


SHARED_MEMORY_KIB: dict[tuple[int, int], int] = {
    (7, 0): 96,
    (7, 5): 64,
    (8, 0): 163,
    (8, 6): 99,
    (8, 7): 163,
    (8, 9): 99,
    (9, 0): 227,
    (10, 0): 227,
    (10, 3): 227,
    (11, 0): 227,
    (12, 0): 99,
    (12, 1): 99,
}
"""Largest shared memory per block by compute capability, with the opt-in."""


def shared_memory_of(
    capability: tuple[int, int] | None, arch: str | None, platform: str
) -> int | None:
    """Shared memory (LDS, SLM) limit of one block in bytes, or None where unknown."""
    if capability is not None:
        size = SHARED_MEMORY_KIB.get(capability)
        return None if size is None else size * _KIB
    if arch is not None:
        return (160 if arch == "gfx950" else 64) * _KIB
    # Intel oneAPI GPU Optimization Guide: 128 KiB of SLM per work-group on Xe-HPC and Xe2.
    return 128 * _KIB if platform == "xpu" else None


def _cuda(
    key: str,
    name: str,
    capability: tuple[int, int],
    mib: int,
    gb_per_s: int,
    sms: int,
    aliases: tuple[str, ...] = (),
    others: tuple[str, ...] = (),
    cpu_arch: str = "x86_64",
) -> KnownGpu:
    return KnownGpu(
        key,
        name,
        "cuda",
        capability,
        None,
        mib * _MIB,
        gb_per_s * 10**9,
        sms,
        aliases,
        others,
        cpu_arch,
    )


def _rocm(
    key: str,
    name: str,
    arch: str,
    gib: int,
    gb_per_s: int,
    cus: int,
    aliases: tuple[str, ...] = (),
    others: tuple[str, ...] = (),
) -> KnownGpu:
    memory = gib * 1024 * _MIB
    return KnownGpu(key, name, "rocm", None, arch, memory, gb_per_s * 10**9, cus, aliases, others)


def _xpu(key: str, name: str, gib: int, gb_per_s: int, cores: int, *aliases: str) -> KnownGpu:
    memory = gib * 1024 * _MIB
    return KnownGpu(key, name, "xpu", None, None, memory, gb_per_s * 10**9, cores, aliases)


_ARM = "aarch64"
_RTX_PRO = "NVIDIA RTX PRO 6000 Blackwell Server Edition"

# key, device name, capability, MiB, GB/s, SMs
KNOWN_GPUS: tuple[KnownGpu, ...] = (
    _cuda("v100", "Tesla V100-SXM2-32GB", (7, 0), 32768, 900, 80, ("v100 32gb", "v100 sxm2")),
    _cuda("t4", "Tesla T4", (7, 5), 15360, 320, 40),
    _cuda("a10", "NVIDIA A10", (8, 6), 23028, 600, 72),
    _cuda("a10g", "NVIDIA A10G", (8, 6), 23028, 600, 80),
    _cuda("a40", "NVIDIA A40", (8, 6), 46068, 696, 84),
    _cuda(
        "a100-40gb", "NVIDIA A100-SXM4-40GB", (8, 0), 40960, 1555, 108, ("a100 40", "a100 sxm 40gb")
    ),
    _cuda(
        "a100",
        "NVIDIA A100-SXM4-80GB",
        (8, 0),
        81920,
        2039,
        108,
        ("a100 80gb", "a100 80", "a100 sxm", "a100 sxm 80gb"),
        ("NVIDIA A800-SXM4-80GB",),
    ),
    _cuda("a100-pcie", "NVIDIA A100 80GB PCIe", (8, 0), 81920, 1935, 108, ("a100 80gb pcie",)),
    _cuda("rtx-3090", "NVIDIA GeForce RTX 3090", (8, 6), 24576, 936, 82, ("3090",)),
    _cuda("orin", "Orin", (8, 7), 62841, 205, 16, ("agx orin",), cpu_arch=_ARM),
    _cuda("l4", "NVIDIA L4", (8, 9), 23034, 300, 58),
    _cuda("l20", "NVIDIA L20", (8, 9), 46068, 864, 92),
    _cuda("l40", "NVIDIA L40", (8, 9), 46068, 864, 142),
    _cuda("l40s", "NVIDIA L40S", (8, 9), 46068, 864, 142),
    _cuda("rtx-4090", "NVIDIA GeForce RTX 4090", (8, 9), 24564, 1008, 128, ("4090",)),
    _cuda(
        "rtx-6000-ada",
        "NVIDIA RTX 6000 Ada Generation",
        (8, 9),
        49140,
        960,
        142,
        ("6000 ada", "rtx6000 ada"),
    ),
    _cuda(
        "h100",
        "NVIDIA H100 80GB HBM3",
        (9, 0),
        81559,
        3350,
        132,
        ("h100 sxm", "h100 sxm5", "h100 80gb", "h100 sxm 80gb", "hgx h100", "dgx h100"),
        ("NVIDIA H800",),
    ),
    _cuda("h100-pcie", "NVIDIA H100 PCIe", (9, 0), 81559, 2039, 114),
    _cuda("h100-nvl", "NVIDIA H100 NVL", (9, 0), 95830, 3938, 132),
    _cuda(
        "h200",
        "NVIDIA H200",
        (9, 0),
        143771,
        4800,
        132,
        ("h200 sxm", "h200 141gb"),
        ("NVIDIA H200 NVL",),
    ),
    _cuda("h20", "NVIDIA H20", (9, 0), 97871, 4000, 78, ("h20 96gb",)),
    _cuda("h20-3e", "NVIDIA H20-3e", (9, 0), 143771, 4800, 78, ("h20 141gb",)),
    _cuda(
        "gh200", "NVIDIA GH200 480GB", (9, 0), 97871, 4000, 132, ("grace hopper",), cpu_arch=_ARM
    ),
    _cuda("b200", "NVIDIA B200", (10, 0), 183359, 8000, 148, ("b200 sxm", "dgx b200")),
    _cuda("gb200", "NVIDIA GB200", (10, 0), 189471, 8000, 152, ("gb200 nvl72",), cpu_arch=_ARM),
    _cuda("b300", "NVIDIA B300 SXM6 AC", (10, 3), 275040, 8000, 148, ("b300 sxm", "dgx b300")),
    _cuda("gb300", "NVIDIA GB300", (10, 3), 284208, 8000, 152, ("gb300 nvl72",), cpu_arch=_ARM),
    _cuda(
        "thor",
        "NVIDIA Thor",
        (11, 0),
        125772,
        273,
        20,
        ("agx thor", "jetson thor", "t5000"),
        cpu_arch=_ARM,
    ),
    _cuda("rtx-5090", "NVIDIA GeForce RTX 5090", (12, 0), 32607, 1792, 170, ("5090",)),
    _cuda(
        "rtx-pro-6000",
        _RTX_PRO,
        (12, 0),
        97887,
        1597,
        188,
        ("rtx pro 6000 blackwell", "pro 6000", "rtx pro 6000 server"),
    ),
    _cuda(
        "rtx-pro-6000-workstation",
        "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        (12, 0),
        97887,
        1792,
        188,
        others=("NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",),
    ),
    _cuda("gb10", "NVIDIA GB10", (12, 1), 122570, 273, 48, ("dgx spark", "spark"), cpu_arch=_ARM),
    # key, device name, arch, GiB, GB/s, CUs. One MI250X package shows as two devices.
    _rocm("mi210", "AMD Instinct MI210", "gfx90a", 64, 1638, 104),
    _rocm("mi250x", "AMD Instinct MI250X", "gfx90a", 64, 1638, 110, ("mi250",)),
    _rocm("mi300a", "AMD Instinct MI300A", "gfx942", 128, 5300, 228),
    _rocm("mi300x", "AMD Instinct MI300X", "gfx942", 192, 5300, 304, ("mi300",)),
    _rocm("mi308x", "AMD Instinct MI308X", "gfx942", 192, 5300, 80),
    _rocm(
        "mi325x",
        "AMD Instinct MI325X",
        "gfx942",
        256,
        6000,
        304,
        ("mi325",),
        ("AMD Instinct MI325 OAM",),
    ),
    _rocm(
        "mi350x",
        "AMD Instinct MI350X",
        "gfx950",
        288,
        8000,
        256,
        ("mi350",),
        ("AMD Instinct MI350 OAM",),
    ),
    _rocm(
        "mi355x",
        "AMD Instinct MI355X",
        "gfx950",
        288,
        8000,
        256,
        ("mi355",),
        ("AMD Instinct MI355 OAM",),
    ),
    _rocm("rx-7900-xtx", "AMD Radeon RX 7900 XTX", "gfx1100", 24, 960, 96, ("7900 xtx",)),
    _rocm("strix-halo", "Radeon 8060S Graphics", "gfx1151", 96, 256, 40, ("ryzen ai max", "8060s")),
    _rocm("rx-9060-xt", "AMD Radeon RX 9060 XT", "gfx1200", 16, 320, 32, ("9060 xt",)),
    _rocm("rx-9070-xt", "AMD Radeon RX 9070 XT", "gfx1201", 16, 645, 64, ("9070 xt",)),
    _rocm("r9700", "AMD Radeon R9700", "gfx1201", 32, 645, 64, ("ai pro r9700",)),
    # key, device name, GiB, GB/s, Xe cores
    _xpu("max-1550", "Intel(R) Data Center GPU Max 1550", 128, 3277, 128, "pvc", "gpu max 1550"),
    _xpu("arc-b580", "Intel(R) Arc(TM) B580 Graphics", 12, 456, 20, "b580"),
    _xpu("arc-pro-b60", "Intel(R) Arc(TM) Pro B60 Graphics", 24, 456, 20, "b60", "pro b60"),
    KnownGpu("cpu", "CPU", "cpu", None, None, None, None, None),
)

CAPABILITY_GPUS: dict[tuple[int, int], str] = {
    (7, 0): "v100",
    (7, 5): "t4",
    (8, 0): "a100",
    (8, 6): "a40",
    (8, 7): "orin",
    (8, 9): "l40s",
    (9, 0): "h100",
    (10, 0): "b200",
    (10, 3): "b300",
    (11, 0): "thor",
    (12, 0): "rtx-pro-6000",
    (12, 1): "gb10",
}
"""The product that stands for a compute capability when no product is named."""

ARCH_GPUS: dict[str, str] = {
    "gfx90a": "mi250x",
    "gfx942": "mi300x",
    "gfx950": "mi355x",
    "gfx1100": "rx-7900-xtx",
    "gfx1151": "strix-halo",
    "gfx1200": "rx-9060-xt",
    "gfx1201": "rx-9070-xt",
}
"""The product that stands for a ROCm architecture when no product is named."""
