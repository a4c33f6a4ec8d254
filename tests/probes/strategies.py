"""Any MachineSnapshot that can be written."""

from __future__ import annotations

from hypothesis import strategies as st

from moe_doctor.core.machine import Absent, Gpu, MachineSnapshot, Present, ProbeFailed, Toolkit
from moe_doctor.probes.decode import PLATFORMS

TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=20)
WHOLE = st.none() | st.integers(0, (1 << 62) - 1)
PROBES = st.builds(Absent) | st.builds(Present, TEXT) | st.builds(ProbeFailed, TEXT)

GPUS = st.builds(
    Gpu,
    name=TEXT,
    capability=st.none() | st.tuples(st.integers(0, 99), st.integers(0, 9)),
    arch=st.none() | TEXT,
    memory_bytes=WHOLE,
    bandwidth_bytes_per_s=WHOLE,
    shared_memory_bytes=WHOLE,
    num_sms=WHOLE,
)

SNAPSHOTS = st.builds(
    MachineSnapshot,
    platform=st.sampled_from(PLATFORMS),
    gpus=st.lists(GPUS, max_size=3).map(tuple),
    simulated=st.booleans(),
    driver=PROBES,
    cuda=PROBES,
    packages=st.dictionaries(TEXT, PROBES, max_size=4),
    toolkit=st.builds(
        Toolkit,
        nvcc=PROBES,
        nvcc_path=st.none() | TEXT,
        cuda_home=PROBES,
        ninja=PROBES,
        host_compiler=PROBES,
    ),
    environment=st.dictionaries(TEXT, TEXT, max_size=4),
    python=TEXT,
    os=TEXT,
    cpu_arch=TEXT,
    cpu_features=st.lists(TEXT, max_size=3).map(tuple),
    memory_bytes=WHOLE,
    notes=st.lists(TEXT, max_size=3).map(tuple),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["platform", "gpus", "name", "machine", "packages", "toolkit", "failed"]
            )
            | st.text(max_size=8),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)
