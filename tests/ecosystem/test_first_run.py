"""The first run on a machine: two processes compile the kernels, each of them once."""

import json
import subprocess
import sys
import textwrap

FIT = """
    import hashlib
    import json
    import numpy as np
    import trendlstm as tl

    def bits():
        x = np.random.default_rng(0).normal(size=(70, 5, 1))
        y = x[:, -1]
        network = tl.Network(hidden_size=3, dense=(4,), seed=3)
        network.fit(x, y, epochs=3, batch_size=32, validation=(x, y), clip_norm=1.0)
        return hashlib.sha256(network.theta.tobytes() + network.predict(x).tobytes()).hexdigest()
"""
FIRST_RUN = """
    from numba.core import event
    from trendlstm.nn import compilation

    compilation.available_threads = lambda: 2
    told = []
    with event.install_recorder("numba:compile") as recorder, compilation.counted_kernels(told.append):
        compilation.compile_kernels()
    here = [entry.data["dispatcher"].py_func.__name__ for _, entry in recorder.buffer if entry.is_end]
    print(json.dumps([[progress.name for progress in told], here, bits()]))
"""
LATER_RUN = """
    from numba.core import event
    from trendlstm.nn import many

    with event.install_recorder("numba:compile") as recorder:
        many.compile_kernels()
        found = bits()
    print(json.dumps([len(recorder.buffer), found]))
"""


def run(code):
    """What Python code prints in a new process, after `FIT`."""
    command = [sys.executable, "-c", textwrap.dedent(FIT + code)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_two_processes_compile_each_kernel_once(own_cache, monkeypatch):
    told, here, bits = run(FIRST_RUN)
    assert len(told) == len(set(told))
    assert "forward_chunks" in here and "fit_worker" in here
    assert "backward_chunks" in told and "backward_chunks" not in here
    assert run(LATER_RUN) == [0, bits]
    monkeypatch.delenv("TRENDLSTM_CACHE_DIR")
    assert run(LATER_RUN)[1] == bits
