"""In the kernel of a notebook: bars that move, with and without ipywidgets, and "interrupt the kernel"."""

import asyncio
import os
import re
from pathlib import Path

import pytest
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

ROOT = Path(__file__).parents[2]
SETUP = """
import numpy as np
import trendlstm as tl
from walks import random_walk, small_config

x = np.random.default_rng(0).normal(size=(400, 10, 1))
net = tl.Network(hidden_size=8, dense=())
"""


class Notebook(NotebookClient):
    """Runs cells, keeps the kinds of their messages, and interrupts each at its bar's second change if asked."""

    def __init__(self, *sources, interrupt=False):
        cells = [new_code_cell(source) for source in (SETUP, *sources)]
        super().__init__(new_notebook(cells=cells), timeout=120, kernel_name="python3")
        self.interrupt, self.kinds = interrupt, [[] for _ in cells]

    def process_message(self, msg, cell, cell_index):
        kinds = self.kinds[cell_index]
        kinds.append(msg["msg_type"])
        if self.interrupt and kinds.count("update_display_data") == 2 and kinds[-1] == "update_display_data":
            self.interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
        return super().process_message(msg, cell, cell_index)

    def run(self, folder, *paths):
        """The outputs of each cell but the first."""
        path = os.pathsep.join(map(str, (*paths, ROOT, ROOT / "tests")))
        self.execute(cwd=str(folder), env={**os.environ, "PYTHONPATH": path})
        assert not any(
            output.output_type == "stream" and output.name == "stderr"
            for cell in self.nb.cells
            for output in cell.outputs
        )
        return [cell.outputs for cell in self.nb.cells[1:]]


@pytest.mark.parametrize("widgets", [True, False])
def test_bars_move_in_their_cell(widgets, tmp_path):
    if not widgets:
        (tmp_path / "ipywidgets.py").write_text("raise ImportError('not installed')")
    notebook = Notebook(
        "net.fit(x, x[:, 0], epochs=1000, progress=True).epochs_run",
        "tl.train(random_walk(), small_config(epochs=3000), progress=True).status",
        "prices = {'WALK': random_walk(600)}\n"
        "config = tl.BacktestConfig(network=tl.NetworkConfig(hidden_size=16), test_years=0.5, refit=2)\n"
        "tl.backtest(prices, config, progress=True).failures",
        "try:\n    import ipywidgets\nexcept ImportError as error:\n    print(error)",
    )
    *cells, last = notebook.run(tmp_path, tmp_path)
    for (bar, value), kinds, text in zip(
        cells,
        notebook.kinds[1:],
        ("epoch 1000/1000", "epoch 3000/3000", r"(\d+) of \1 · WALK · RMSE"),
        strict=False,
    ):
        assert kinds.count("display_data") == 1 and kinds.count("update_display_data") >= 2
        assert bar.output_type == "display_data" and value.output_type == "execute_result"
        assert re.search(text, bar.data["text/html"]) and "━" in bar.data["text/html"]
    assert [output.text for output in last] == ([] if widgets else ["not installed\n"])


def test_interrupting_the_kernel_keeps_what_was_learned(tmp_path):
    notebook = Notebook(
        "try:\n    net.fit(x, x[:, 0], epochs=10**6, progress=True)\n"
        "except KeyboardInterrupt as error:\n    print(type(error).__name__, error.histories[0].stopped)",
        "result = tl.train(random_walk(), small_config(epochs=10**6), progress=True)\n"
        "print(result.status, len(result.metrics))",
        "try:\n    tl.backtest({'WALK': random_walk(600)}, tl.BacktestConfig(refit=1), progress=True)\n"
        "except KeyboardInterrupt as error:\n    print(type(error).__name__)",
        "print(np.isfinite(net.predict(x)).all())",
        interrupt=True,
    )
    said = [
        [output.text for output in cell if output.output_type == "stream"] for cell in notebook.run(tmp_path)
    ]
    assert said == [
        ["FitInterrupted interrupted\n"],
        ["interrupted 0\n"],
        ["KeyboardInterrupt\n"],
        ["True\n"],
    ]
