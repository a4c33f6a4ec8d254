"""What sm_90 can do and only newer Triton releases know: tensor descriptors and dependent launch.

triton.tools.tensor_descriptor and the gdc functions came with triton 3.4 (torch 2.8). Before that
the kernels load through pointers and start one after the other.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
    from triton.tools.tensor_descriptor import TensorDescriptor

    TRITON_KNOWS_HOPPER = True
except ImportError:  # triton < 3.4
    TRITON_KNOWS_HOPPER = False
    # Names that the kernels mention under a constant that is false then.
    gdc_launch_dependents = gdc_wait = TensorDescriptor = None

__all__ = ["TRITON_KNOWS_HOPPER", "describe", "gdc_launch_dependents", "gdc_wait"]


def describe(tensor: Tensor, block: list[int]) -> Any:
    """A descriptor of `tensor` [rows, columns] that loads blocks of `block`."""
    return TensorDescriptor.from_tensor(tensor, block)
