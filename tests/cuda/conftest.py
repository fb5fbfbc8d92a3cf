"""The same tests run in numba-cuda's simulator and, without NUMBA_ENABLE_CUDASIM, on a GPU: they fail without one."""

import pytest

from trendlstm.errors import OptionError
from trendlstm.nn.device import device_name


def pytest_sessionstart(session):
    try:
        device_name()
    except OptionError as error:
        pytest.exit(f"these tests need a GPU, or NUMBA_ENABLE_CUDASIM=1: {error}", returncode=1)


@pytest.fixture(autouse=True)
def threads_in_turn():
    from trendlstm.cuda.compile import SIMULATED

    if SIMULATED:
        from simulator import take_turns

        take_turns()


def pytest_report_header():
    return f"device: {device_name()}"
