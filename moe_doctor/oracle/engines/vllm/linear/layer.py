"""One linear layer of a model class: its names, and its sizes over all ranks and on one."""

from __future__ import annotations

from moe_doctor.core.named import NamedTuple


class Linear(NamedTuple):
    """A linear layer as an engine builds it; several of a checkpoint's may be one of these."""

    path: str
    """Path below a decoder layer (below the model for a vision tower), as the engine names it."""
    shards: tuple[str, ...]
    """Paths of the checkpoint's layers in it; its own path where it is one of them."""
    inputs: int
    """Columns over all ranks; 0 where a size is not known or does not divide, and then no shape is
    judged."""
    inputs_here: int
    """Columns on one rank."""
    outputs: int
    """Rows over all ranks."""
    outputs_here: tuple[int, ...]
    """Rows on one rank, one number per part."""
    late: bool = False
    """Whether it is built after the routed experts."""
    is_own_shard: bool = False
    """Whether packed_modules_mapping names it as its own and only part."""
    has_odd_class: bool = False
    """Whether the name of its class lacks the word Linear."""
    reads_weight: bool = False
    """Whether the class that builds it then looks at its parameter `weight`."""

    @property
    def is_fused(self) -> bool:
        """Whether it holds several of a checkpoint's layers."""
        return self.shards != (self.path,)

    @property
    def rows(self) -> int:
        """Rows of all parts on one rank."""
        return sum(self.outputs_here)


def fused(
    path: str,
    shards: tuple[str, ...],
    inputs: int | None,
    outputs: tuple[int | None, ...],
    ranks: int,
    *,
    late: bool = False,
) -> Linear:
    """Several column-parallel layers in one; each part is divided among the ranks."""
    block = path.rpartition(".")[0]
    names = tuple(f"{block}.{shard}" if block else shard for shard in shards)
    known = tuple(size for size in outputs if size)
    if not inputs or len(known) < len(outputs) or any(size % ranks for size in known):
        return Linear(path, names, 0, 0, 0, (), late)
    here = tuple(size // ranks for size in known)
    return Linear(path, names, inputs, inputs, sum(known), here, late)


def columns(
    path: str, inputs: int | None, outputs: int | None, ranks: int, *, late: bool = False
) -> Linear:
    """A layer whose rows are divided among the ranks; on one rank a replicated layer, too."""
    if not inputs or not outputs or outputs % ranks:
        return Linear(path, (path,), 0, 0, 0, (), late)
    return Linear(path, (path,), inputs, inputs, outputs, (outputs // ranks,), late)


def rows(
    path: str, inputs: int | None, outputs: int | None, ranks: int, *, late: bool = False
) -> Linear:
    """A layer whose columns are divided among the ranks."""
    if not inputs or not outputs or inputs % ranks:
        return Linear(path, (path,), 0, 0, 0, (), late)
    return Linear(path, (path,), inputs, inputs // ranks, outputs, (outputs,), late)
