"""What sm_90 can do and only newer Triton releases know: tensor descriptors and dependent launch.

triton.tools.tensor_descriptor and the gdc functions came with triton 3.4 (torch 2.8). Before that
the kernels load through pointers and start one after the other.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

try:
    from triton.language.extra.cuda import gdc_launch_dependents, gdc_wait
    from triton.tools.tensor_descriptor import TensorDescriptor

    TRITON_KNOWS_HOPPER = True
except ImportError:  # triton < 3.4
    TRITON_KNOWS_HOPPER = False
    # Names that the kernels mention under a constant that is false then.
    gdc_launch_dependents = gdc_wait = TensorDescriptor = None

__all__ = [
    "TRITON_KNOWS_HOPPER",
    "describe",
    "fits_tma",
    "gdc_launch_dependents",
    "gdc_wait",
    "has_tma",
]


def describe(tensor: Tensor, block: list[int]) -> Any:
    """A descriptor of `tensor` [rows, columns] that loads blocks of `block`."""
    return TensorDescriptor.from_tensor(tensor, block)


@functools.lru_cache(maxsize=16)
def has_tma(device: torch.device) -> bool:
    """Tensor memory access and dependent launch: NVIDIA, sm_90 and newer, triton 3.4 and newer."""
    if not TRITON_KNOWS_HOPPER or device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device)[0] >= 9


def fits_tma(tensor: Tensor) -> bool:
    """Dense rows at multiples of 16 bytes, and leading dimensions that fold into one."""
    strides = tensor.stride()
    aligned = strides[-2] * tensor.element_size() % 16 == 0 and tensor.data_ptr() % 16 == 0
    folds = all(strides[i] == strides[i + 1] * tensor.shape[i + 1] for i in range(tensor.ndim - 2))
    return strides[-1] == 1 and aligned and folds and has_tma(tensor.device)
