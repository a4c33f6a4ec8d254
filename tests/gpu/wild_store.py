"""A Triton kernel that stores far outside its tensor."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def store_far(pointer, offset):  # type: ignore[no-untyped-def] # Triton's own signature
    """Write one element `offset` elements behind `pointer`."""
    tl.store(pointer + offset.to(tl.int64), 1.0)
