"""Kernels that Python calls, and those that other kernels alone can call."""

import numba
import pytest

from trendlstm.kernels import cache
from trendlstm.kernels.compile import compiled


def test_python_cannot_call_what_kernels_alone_can(own_cache, monkeypatch):
    """It would jump to where there is no code, whether the kernel was compiled here or loaded."""

    def twice(x):
        return 2.0 * x

    for hits in range(2):
        monkeypatch.setattr(cache, "_kernels", {})
        kernel = compiled(twice)

        def caller(x):
            return kernel(x) + 1.0  # noqa: B023

        assert numba.njit(caller)(3.0) == 7.0
        assert sum(kernel.stats.cache_hits.values()) == hits
        for argument in 3.0, 3:
            with pytest.raises(TypeError, match="twice can be called by kernels alone: mark it @entry_point"):
                kernel(argument)
