"""Settings of every test process."""

import logging
import os
import signal

import pytest
from hypothesis import settings

# NumPy's matrix products in the reference are small: threads only make them slower, and other tests with them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No example is wrong because a busy machine is slow.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# A shell starts background jobs with Ctrl-C ignored, which the processes that tests start would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def own_cache(monkeypatch, tmp_path):
    """An empty cache folder for this test alone."""
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture(autouse=True)
def logger():
    """The package's logger; what a command has attached to it is taken off again."""
    logger = logging.getLogger("trendlstm")
    handlers, level = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:] = handlers
    logger.setLevel(level)
