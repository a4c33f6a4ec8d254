from __future__ import annotations

import pytest

from moe_doctor.probes.rocm import gfx_name


@pytest.mark.parametrize(
    ("version", "name"),
    [
        (90010, "gfx90a"),
        (90402, "gfx942"),
        (90500, "gfx950"),
        (110000, "gfx1100"),
        (110501, "gfx1151"),
        (120001, "gfx1201"),
    ],
)
def test_the_kernels_number_becomes_the_compilers_name(version: int, name: str) -> None:
    assert gfx_name(version) == name
