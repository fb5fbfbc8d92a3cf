"""The bar of `progress=True`: on a terminal, in a notebook, and nowhere else."""

import builtins
import io
import sys
from contextlib import nullcontext
from types import ModuleType

import numpy as np
import pytest
import small_backtests
from walks import random_walk, small_config

import trendlstm as tl
from trendlstm.errors import OptionError
from trendlstm.nn import progress as progress_module
from trendlstm.nn.progress import FitProgress, reporter
from trendlstm.workflows.fold_queue import BacktestProgress

X = np.random.default_rng(0).normal(size=(40, 3, 1))
Y = X[:, 0]


def fit(**options):
    return tl.Network(hidden_size=3, dense=()).fit(X, Y, epochs=7, **options)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    history = fit(progress=True, validation=(X, Y))
    last = terminal.getvalue().rsplit("\r", 1)[-1]
    assert f"epoch 7/7 · loss {history.loss[-1]:.4g} · validation {history.validation_loss[-1]:.4g}" in last
    assert "━━━" in last
    assert capsys.readouterr().out == ""


def test_the_bar_of_many_fits_counts_the_epochs_of_all(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    networks = [tl.Network(hidden_size=3, dense=(), seed=seed) for seed in range(3)]
    tl.fit_many(networks, X, Y, epochs=5, progress=True)
    assert "epoch 15/15 · loss" in terminal.getvalue()


@pytest.mark.parametrize("progress", [True, False, None])
def test_nothing_is_written_without_a_terminal(progress, capfd):
    fit(progress=progress)
    assert capfd.readouterr() == ("", "")


class ZMQInteractiveShell:
    """By this name a notebook's kernel is known."""


@pytest.fixture
def shown(monkeypatch):
    """What a notebook's cell was sent: (whether it is a new output, its HTML)."""
    sent = []

    def html(item):
        return item._repr_mimebundle_(include=[], exclude=[])["text/html"]

    class Handle:
        def update(self, item):
            sent.append(("update", html(item)))

    def display(item, display_id):
        sent.append(("new", html(item)))
        return Handle()

    module = ModuleType("IPython.display")
    module.display = display
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(builtins, "get_ipython", ZMQInteractiveShell, raising=False)
    return sent


def test_a_bar_in_a_notebook(shown, capfd):
    """One output that changes, without ipywidgets."""
    history = fit(progress=True)
    assert [kind for kind, _ in shown].count("new") == 1 and shown[0][0] == "new"
    assert f"epoch 7/7 · loss {history.loss[-1]:.4g}" in shown[-1][1]
    assert capfd.readouterr() == ("", "")


def test_training_and_backtests_show_the_same_bar(shown, capfd):
    tl.train(random_walk(), small_config(final_fit=True), progress=True)
    assert [kind for kind, _ in shown].count("new") == 2  # the fit, and the one on all rows
    assert "epoch 4/4 · loss" in max(html for _, html in shown if "epoch 4/4" in html)
    shown.clear()
    tl.backtest(small_backtests.prices("AA"), small_backtests.settings(refit=20), progress=True)
    assert [kind for kind, _ in shown].count("new") == 1 and "2 of 2 · AA · RMSE" in shown[-1][1]
    assert capfd.readouterr() == ("", "")


def test_training_and_backtests_tell_a_function():
    told = []
    tl.train(random_walk(), small_config(), progress=told.append)
    assert all((one.completed, one.total) == (one.epoch, one.epochs) for one in told)
    assert (told[-1].completed, told[-1].total) == (4, 4)
    told.clear()
    tl.backtest(small_backtests.prices("AA"), small_backtests.settings(refit=20), progress=told.append)
    assert (told[-1].completed, told[-1].total) == (2, 2)
    one = BacktestProgress(3, 8, "AA", 0.01, 0.02)
    assert (one.completed, one.total) == (3, 8)
    for call in (tl.train, tl.backtest):
        prices = random_walk() if call is tl.train else small_backtests.prices("AA")
        with pytest.raises(OptionError, match="progress must be True, False or a function"):
            call(prices, progress="yes")


def test_stages_and_progress_are_not_given_together():
    with pytest.raises(OptionError, match="either stages or progress"):
        tl.train(random_walk(), small_config(), lambda name, epochs: nullcontext(), progress=True)


def test_a_notebook_is_sent_a_picture_now_and_then_and_always_the_last(shown, monkeypatch):
    monkeypatch.setattr(progress_module, "_NOTEBOOK_SECONDS", 1e9)
    with reporter(True) as report:
        for epoch in (1, 2, 3):
            report(FitProgress(epoch, 3, 0.5, np.nan))
    (new, _), (first, one), (last, three) = shown
    assert (new, first, last) == ("new", "update", "update")
    assert "epoch 1/3" in one and "epoch 3/3" in three


def test_a_failing_fit_ends_the_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with pytest.raises(ArithmeticError):
        fit(progress=True, learning_rate=1e39)
    assert terminal.getvalue().rindex("\x1b[?25h") > terminal.getvalue().rindex("\x1b[?25l"), (
        "the cursor is hidden"
    )


@pytest.mark.parametrize("progress", [1, "yes", [print]])
def test_what_is_no_function_is_refused(progress):
    with pytest.raises(OptionError, match="progress must be True, False or a function"):
        fit(progress=progress)


@pytest.mark.parametrize(
    ("losses", "text"),
    [
        ((0.81234567, 0.5), "epoch 3/40 · loss 0.8123 · validation 0.5"),
        ((0.81234567, np.nan), "epoch 3/40 · loss 0.8123"),
        ((np.nan, np.nan), "epoch 3/40"),
    ],
)
def test_progress_in_words(losses, text):
    assert str(FitProgress(3, 40, *losses)) == text
