"""The vLLM releases that the tables cover, with what their wheels and images bring.

Read from each wheel's METADATA (Requires-Dist) and upload day. `torch` and the rest are pins, so
they are what a default installation has; packages that a wheel carries inside itself
(deep_gemm from 0.20.0, triton_kernels) are given the release's own number.
"""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release, parse_release


class VllmRelease(NamedTuple):
    """One release."""

    version: str
    """As PyPI calls it."""
    date: str
    """Day of the wheel, ISO 8601."""
    torch: str
    """Pinned torch."""
    flashinfer: str
    """Pinned flashinfer-python."""
    cutlass_dsl: str = ""
    """Pinned nvidia-cutlass-dsl; empty = a lower bound only."""
    humming: str = ""
    """Pinned humming-kernels; empty = not used yet."""
    tilelang: str = ""
    """Pinned tilelang; empty = not used yet."""
    compressed_tensors: str = ""
    """Pinned compressed-tensors."""

    @property
    def release(self) -> Release:
        """As comparable numbers."""
        parsed = parse_release(self.version)
        if parsed is None:
            raise ValueError(f"{self.version!r} is not a release")
        return parsed


def _r(version: str, date: str, torch: str, flashinfer: str, ct: str, *more: str) -> VllmRelease:
    dsl, humming, tilelang = (*more, "", "", "")[:3]
    return VllmRelease(version, date, torch, flashinfer, dsl, humming, tilelang, ct)


RELEASES: tuple[VllmRelease, ...] = (
    _r("0.16.0", "2026-02-25", "2.9.1", "0.6.3", "0.13.0"),
    _r("0.17.0", "2026-03-06", "2.10.0", "0.6.4", "0.13.0"),
    _r("0.17.1", "2026-03-11", "2.10.0", "0.6.4", "0.13.0"),
    _r("0.18.0", "2026-03-20", "2.10.0", "0.6.6", "0.13.0"),
    _r("0.18.1", "2026-03-30", "2.10.0", "0.6.6", "0.13.0"),
    _r("0.19.0", "2026-04-02", "2.10.0", "0.6.6", "0.14.0.1"),
    _r("0.19.1", "2026-04-18", "2.10.0", "0.6.6", "0.15.0.1"),
    _r("0.20.0", "2026-04-27", "2.11.0", "0.6.8.post1", "0.15.0.1", "", "", "0.1.9"),
    _r("0.20.1", "2026-05-04", "2.11.0", "0.6.8.post1", "0.15.0.1", "", "", "0.1.9"),
    _r("0.20.2", "2026-05-08", "2.11.0", "0.6.8.post1", "0.15.0.1", "", "", "0.1.9"),
    _r("0.21.0", "2026-05-15", "2.11.0", "0.6.8.post1", "0.15.0.1", "4.4.2", "", "0.1.9"),
    _r("0.22.0", "2026-05-29", "2.11.0", "0.6.11.post2", "0.15.0.1", "4.5.2", "0.1.2", "0.1.9"),
    _r("0.22.1", "2026-06-04", "2.11.0", "0.6.11.post2", "0.15.0.1", "4.5.2", "0.1.2", "0.1.9"),
    _r("0.23.0", "2026-06-15", "2.11.0", "0.6.12", "0.17.0", "4.5.2", "0.1.4", "0.1.9"),
    _r("0.24.0", "2026-06-29", "2.11.0", "0.6.12", "0.17.0", "4.5.2", "0.1.6", "0.1.9"),
    _r("0.25.0", "2026-07-11", "2.11.0", "0.6.13", "0.17.0", "4.5.2", "0.1.10", "0.1.9"),
    _r("0.25.1", "2026-07-12", "2.11.0", "0.6.13", "0.17.0", "4.5.2", "0.1.10", "0.1.9"),
    _r("0.26.0", "2026-07-25", "2.11.0", "0.6.14", "0.17.0", "4.6.0", "0.1.10", "0.1.9"),
    _r("0.27.0", "2026-08-10", "2.13.0", "0.6.16.post3", "0.17.0", "4.6.0", "0.1.10", "0.1.12"),
    _r("0.27.1", "2026-08-11", "2.13.0", "0.6.16.post3", "0.17.0", "4.6.0", "0.1.10", "0.1.12"),
    _r("0.28.0", "2026-08-25", "2.13.0", "0.6.16.post3", "0.17.0", "4.6.2", "0.1.12", "0.1.12"),
    _r("0.29.0", "2026-09-09", "2.13.0", "0.6.18", "0.17.0", "4.6.2", "0.1.12", "0.1.12"),
    _r("0.30.0", "2026-09-22", "2.13.0", "0.6.18.post1", "0.17.0", "4.7.1", "0.1.12", "0.1.12"),
    _r("0.31.0", "2026-10-03", "2.13.0", "0.7.0.post1", "0.17.0", "4.7.1", "0.1.16", "0.1.12"),
    _r("0.32.0", "2026-10-17", "2.13.0", "0.7.0.post1", "0.17.0", "4.8.0", "0.1.17", "0.1.12"),
    _r("0.33.0", "2026-11-01", "2.14.0", "0.7.2.post1", "0.17.0", "4.8.0", "0.1.19", "0.1.12"),
)

NEWEST = RELEASES[-1]
BY_VERSION = {release.version: release for release in RELEASES}


def image_packages(version: str, platform: str) -> dict[str, str]:
    """What the release's own image has on `platform`: distribution -> version.

    An empty version means that the release does not say which. Raises KeyError on an unknown
    version; the caller has checked it.
    """
    release = BY_VERSION[version]
    packages = {"vllm": version, "torch": release.torch}
    if release.compressed_tensors:
        packages["compressed-tensors"] = release.compressed_tensors
    if platform == "cuda":
        packages["triton"] = ""
        packages["flashinfer-python"] = release.flashinfer
        # The wheel requires flashinfer-cubin from 0.19.0 to 0.25.1; the image has it throughout.
        packages["flashinfer-cubin"] = release.flashinfer
        packages["deep-gemm"] = ""
        packages["deep-ep"] = ""
        packages["triton-kernels"] = ""
        packages["nvidia-cutlass-dsl"] = release.cutlass_dsl
        # The image adds it to what the wheel requires (docker/Dockerfile).
        packages["bitsandbytes"] = ""
        pins = {"humming-kernels": release.humming, "tilelang": release.tilelang}
        packages |= {name: pin for name, pin in pins.items() if pin}
    elif platform == "rocm":
        packages |= {"triton": "", "aiter": "", "mori": "", "triton-kernels": ""}
    elif platform == "xpu":
        packages["triton"] = ""
    return packages
