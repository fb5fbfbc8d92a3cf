"""Settings of the tests of fits."""

import pytest


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    """Every fit gets as many threads as it is given: on this machine's cores alone, more of them would do nothing."""
    monkeypatch.setattr("trendlstm.nn.training.available_threads", lambda: 64)
