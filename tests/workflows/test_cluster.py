"""What can be said of a cluster without Dask; the rest is in tests/processes."""

import re
import sys

import pytest

from trendlstm.errors import OptionError
from trendlstm.version import install_command
from trendlstm.workflows import cluster


@pytest.mark.parametrize(
    "connect", [lambda: cluster.connect("tcp://127.0.0.1:9"), lambda: cluster.local_cluster(2)]
)
def test_without_dask_it_says_how_to_install_it(connect, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(OptionError, match=re.escape(install_command("dask"))), connect():
        pass
