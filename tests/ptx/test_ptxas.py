"""Every kernel of the GPU compiled without one, and what NVIDIA's assembler says that it takes."""

import itertools

import ptxas_table
import pytest

from trendlstm.cuda.buffers import Spec
from trendlstm.kernels.buffers import LSTM, RNN

SHARED_LIMIT = 48 * 1024  # of a block, without asking the driver for more
REGISTERS = 65536  # of a multiprocessor


REFERENCE = [
    (name, Spec(cell, 1, 64, 1, 1, 4), architecture)
    for architecture, cell, name in itertools.product(
        ptxas_table.ARCHITECTURES, ptxas_table.CELLS.values(), ptxas_table.KERNELS
    )
]
OTHERS = [
    (name, spec, (9, 0))
    for name in ("fit", "stream")
    for spec in (Spec(LSTM, 16, 64, 1, 1, 4), Spec(LSTM, 2, 16, 1, 1, 4), Spec(RNN, 3, 48, 0, 1, 4))
]
LARGEST = [
    ("fit", Spec(LSTM, 16, 256, 1, 1, 4), (7, 5)),
    ("fit", Spec(LSTM, 16, 256, 1, 0, 8), (7, 5)),
]


@pytest.fixture(scope="session")
def usages():
    """Of all kernels below, compiled side by side."""
    return ptxas_table.measure_all([*REFERENCE, *OTHERS, *LARGEST, *ptxas_table.documented_kernels()])


@pytest.mark.parametrize("kernel", [*REFERENCE, *OTHERS, *LARGEST], ids=str)
def test_a_block_can_be_launched(usages, kernel):
    _, spec, _ = kernel
    assert usages[kernel].shared <= SHARED_LIMIT
    assert usages[kernel].registers * spec.threads <= REGISTERS


@pytest.mark.parametrize("kernel", [*REFERENCE, *OTHERS], ids=str)
def test_weights_in_registers_stay_there(usages, kernel):
    usage = usages[kernel]
    assert (usage.stack, usage.spill_stores, usage.spill_loads) == (0, 0, 0)


def test_the_documented_table_is_what_the_compiler_says(usages):
    documented = ptxas_table.documented()
    if ptxas_table.compilers() not in documented[0]:
        pytest.skip(f"docs/gpu.md has the figures of other versions than {ptxas_table.compilers()}")
    assert list(ptxas_table.lines(usages)) == documented, "run python scripts/ptxas_table.py"
