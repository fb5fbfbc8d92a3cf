"""Settings of every test process."""

import logging
import os

import pytest

# NumPy's matrix products in the reference are small: threads only make them slower, and other tests with them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


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
