"""How one linear layer is stored, as far as a shape may not fit it."""

from __future__ import annotations

from collections.abc import Callable

from moe_doctor.core.named import NamedTuple
from moe_doctor.core.release import Release
from moe_doctor.oracle.engines.vllm.linear.layer import Linear
from moe_doctor.oracle.engines.vllm.methods.compressed_groups import Group
from moe_doctor.oracle.engines.vllm.methods.outcome import (
    MethodRefused,
    by_linear,
    refused_by_method,
)

Spellings = tuple[str, ...]
"""A module's path with every prefix that checkpoints and engines put before it."""
Place = Callable[[str], Spellings]
"""From a path below a decoder layer to its spellings."""


class Stored(NamedTuple):
    """The scheme of one quantized linear layer."""

    kind: str
    """`gptq`, `awq` (packed integers with those methods' classes), `int` (compressed-tensors),
    `w4a8` (its integers with 8-bit inputs), `narrow` (AutoRound's integers that Humming takes),
    `fp8` (blocks), `pb_wo` (ModelOpt's blocks), `nvfp4`, `mxfp8`, `ocp_mx` (Quark's), `ct_nvfp4`,
    `quark` (its other formats), `nvfp4a16`, `ct_mxfp4` and `ct_mxfp8` (compressed-tensors', of
    every shape); empty where nothing is refused."""
    bits: int = 0
    """Of an integer."""
    group: int = -1
    """Columns with one scale; -1 = all."""
    zeros: bool = False
    """Whether integers have zero points."""
    ordered: bool = False
    """Whether columns are reordered across groups."""
    block: tuple[int, int] = (0, 0)
    """Rows and columns of a block."""
    lenient: bool = False
    """Whether fused layers may have parts that are no whole blocks (linear.py
    _maybe_allow_fp8_block_shape_mismatch, which looks for the config's own weight_block_size)."""
    fallback: bool = False
    """Whether the method is the plain one, without Marlin (`gptq`, `awq`)."""
    entry: str = ""
    """Key of the `layer_quant_config` that Quark's layer follows; empty = the global settings."""
    by_fp8: bool = False
    """Whether the inputs of `w4a8` become FP8, not integers."""
    scheme: Group | None = None
    """The group of compressed-tensors, where a release or a GPU may know no scheme for it."""


QUARK = ("ocp_mx", "quark")
"""Kinds that Quark's own schemes may refuse."""
ANY = Stored("")
"""Quantized in a way that takes every shape."""

# Release that lets a list name the fused layer itself.
NAMES_FUSED: Release = (0, 24, 0)


def agree(
    linear: Linear,
    place: Place,
    matches: Callable[[Spellings], bool],
    release: Release,
    *,
    names_fused: bool = True,
) -> bool:
    """is_layer_skipped(): whether a list matches a layer; raises where it matches some shards."""
    own = place(linear.path)
    if not linear.is_fused:
        return matches(own)
    if names_fused and matches(own) and release >= NAMES_FUSED:
        return True
    found = {matches(place(shard)) for shard in linear.shards}
    if len(found) > 1:
        text = "Detected some but not all shards of "
        raise by_linear(refused_by_method("ValueError", text, _reason(linear, own)))
    return found.pop()


def agree_on_scheme(
    linear: Linear,
    place: Place,
    matches: Callable[[Spellings], bool],
    release: Release,
    *,
    names_fused: Callable[[Spellings], bool],
) -> bool:
    """should_ignore_layer() of compressed-tensors and Quark: the same, with other words.

    `names_fused` = whether the list leaves the fused layer out under its own name.
    """
    own = place(linear.path)
    if not linear.is_fused:
        return matches(own)
    if names_fused(own):
        return True
    found = {matches(place(shard)) for shard in linear.shards}
    if len(found) > 1:
        raise _differs(linear, own, release)
    return found.pop()


def _differs(linear: Linear, own: Spellings, release: Release) -> MethodRefused:
    text = "Found different quantization schemes for the shards of "
    if release < (0, 30, 0):
        names = [shard.rpartition(".")[2] for shard in linear.shards]
        text = f"Found a different quantization schemes for {names} in "
    return by_linear(refused_by_method("ValueError", text, _reason(linear, own)))


def _reason(linear: Linear, own: Spellings) -> str:
    shards = " and ".join(shard.rpartition(".")[2] for shard in linear.shards)
    return f"{own[0]}: vLLM makes one layer of {shards}, and the list names only some of them"
