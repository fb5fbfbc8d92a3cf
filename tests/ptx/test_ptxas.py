"""Every kernel of the GPU compiled without one, and what NVIDIA's assembler says that it takes."""

import importlib.util
from pathlib import Path

import pytest

from trendlstm.cuda.buffers import Spec
from trendlstm.kernels.buffers import LSTM, RNN

_SOURCE = Path(__file__).parents[2] / "scripts" / "ptxas_table.py"
_spec = importlib.util.spec_from_file_location("ptxas_table", _SOURCE)
ptxas_table = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ptxas_table)

SHARED_LIMIT = 48 * 1024  # of a block, without asking the driver for more
REGISTERS = 65536  # of a multiprocessor


def check(name, spec, architecture):
    usage = ptxas_table.measure(name, spec, architecture)
    assert usage.shared <= SHARED_LIMIT
    assert usage.registers * spec.threads <= REGISTERS, "a block could not be launched"
    return usage


@pytest.mark.parametrize("architecture", ptxas_table.ARCHITECTURES, ids=str)
@pytest.mark.parametrize("cell", ptxas_table.CELLS)
@pytest.mark.parametrize("name", ["fit", "stream", "predict"])
def test_the_reference_models_kernels_keep_everything_in_registers(name, cell, architecture):
    usage = check(name, Spec(ptxas_table.CELLS[cell], 1, 64, 1, 1, 4), architecture)
    assert (usage.stack, usage.spill_stores, usage.spill_loads) == (0, 0, 0)


@pytest.mark.parametrize(
    "spec",
    [Spec(LSTM, 16, 64, 1, 1, 4), Spec(LSTM, 2, 16, 1, 1, 4), Spec(RNN, 3, 48, 0, 1, 4)],
    ids=str,
)
@pytest.mark.parametrize("name", ["fit", "stream"])
def test_other_kernels_in_registers(name, spec):
    usage = check(name, spec, (9, 0))
    assert (usage.stack, usage.spill_stores, usage.spill_loads) == (0, 0, 0)


@pytest.mark.parametrize("spec", [Spec(LSTM, 16, 256, 1, 1, 4), Spec(LSTM, 16, 256, 1, 0, 8)], ids=str)
def test_the_largest_kernels_can_be_launched(spec):
    check("fit", spec, (7, 5))


def test_the_documented_table_is_what_the_compiler_says():
    """Last because most of its kernels are compiled by then."""
    documented = ptxas_table.documented()
    if ptxas_table.compilers() not in documented[0]:
        pytest.skip(f"docs/gpu.md has the figures of other versions than {ptxas_table.compilers()}")
    assert list(ptxas_table.lines()) == documented, "run python scripts/ptxas_table.py"
