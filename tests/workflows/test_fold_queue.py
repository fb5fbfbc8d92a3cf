"""The queue of folds: everything is done once, in any order, on any number of threads, and can be gone on with."""

import struct

import numpy as np
import pytest
from simulated_returns import autoregressive
from small_backtests import bits, prices, settings
from threadpoolctl import threadpool_limits
from walks import random_walk

from trendlstm.config import DataConfig, FitConfig, NetworkConfig, WindowConfig
from trendlstm.data.frames import price_set
from trendlstm.errors import RunError
from trendlstm.output.fold_file import NAME, FoldFile
from trendlstm.workflows import fold_queue


def run(config, threads=2, store=None, tickers=("A", "B")):
    store = store or fold_queue.MemoryStore()
    planned = fold_queue.plan(prices(*tickers), config)
    reports = []
    failures = fold_queue.run(planned, store, fold_queue.ThreadEngine(threads), reports.append)
    assert not failures
    return planned, store, reports


LAYERS = NetworkConfig(hidden_size=(4, 3), dense=(), dropout=0.2, recurrent_dropout=0.1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"refit": 5},
        {"warm_start": True, "models": ("rnn", "lstm")},
        {"refit": 10, "warm_start": True, "models": ("gru", "lstm"), "network": LAYERS},
    ],
)
def test_any_number_of_threads_gives_the_same_bits(changes):
    config = settings(**changes)
    planned, one, _ = run(config, 1)
    _, three, reports = run(config, 3)
    for ticker in ("A", "B"):
        assert bits(one, ticker) == bits(three, ticker)
        assert len(bits(one, ticker)) == len(planned.walks[ticker].folds)
    assert reports[-1].done == reports[-1].folds == planned.folds
    assert [report.done for report in reports] == sorted({report.done for report in reports})


def test_a_ticker_is_tested_as_if_it_were_alone():
    config = settings()
    _, both, _ = run(config)
    _, alone, _ = run(config, tickers=("A",))
    assert bits(both, "A") == bits(alone, "A")


def test_any_number_of_blas_threads_gives_the_same_bits():
    # with so many rows and inputs the last digits of the ridge regression differ
    window = WindowConfig(lag=40, horizon=5)
    config = settings(window=window, test_years=0.15, refit=100, seeds=1, fit=FitConfig(epochs=1))
    frame = random_walk(3200)[["Close"]]
    (returns,) = autoregressive(np.random.default_rng(0), 1, len(frame), rho=0.5)
    frame["Close"] = 100 * np.exp(np.cumsum(returns))
    planned = fold_queue.plan({"A": price_set(frame, DataConfig(ticker="A"))}, config)
    stores = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            stores.append(fold_queue.MemoryStore())
            fold_queue.run(planned, stores[-1], fold_queue.ThreadEngine(1))
    assert bits(stores[0], "A") == bits(stores[1], "A") != []


class Crash(Exception):
    pass


class CrashingFile:
    """A fold file whose process dies after so many transactions."""

    def __init__(self, file, left):
        self._file, self._left = file, left

    def __getattr__(self, name):
        return getattr(self._file, name)

    def save(self, results):
        if self._left == 0:
            raise Crash
        self._left -= 1
        self._file.save(results)


@pytest.mark.parametrize("warm_start", [False, True])
def test_what_was_finished_is_gone_on_with(warm_start, tmp_path):
    config = settings(warm_start=warm_start, test_years=0.3)
    planned, whole, _ = run(config)
    file = FoldFile.create(tmp_path, config, prices("A", "B"))
    for left in (2, 3):
        with pytest.raises(Crash):
            fold_queue.run(planned, CrashingFile(file, left), fold_queue.ThreadEngine(2))
        file.close()
        file = FoldFile.open(tmp_path)
        assert file.config == config
        planned = fold_queue.plan(file.prices, file.config)
    done = sum(len(file.finished(ticker)) for ticker in ("A", "B"))
    assert 0 < done < planned.folds
    fold_queue.run(planned, file, fold_queue.ThreadEngine(1))
    for ticker in ("A", "B"):
        assert bits(file, ticker) == bits(whole, ticker)
    file.close()


def test_one_ticker_that_fails_stops_nobody():
    config = settings(fit=FitConfig(epochs=2, patience=1, learning_rate=1e30))
    short = {**prices("A"), "SHORT": price_set(random_walk(30), DataConfig(ticker="SHORT"))}
    planned = fold_queue.plan(short, config)
    assert list(planned.walks) == ["A"] and "30 prices are too few" in planned.failures["SHORT"]
    store = fold_queue.MemoryStore()
    failures = fold_queue.run(planned, store, fold_queue.ThreadEngine(2))
    assert "the loss is no longer finite" in failures["A"]


def test_an_open_that_cannot_be_traded_is_named_before_anything_is_fitted():
    frame = random_walk(260)
    frame.loc[frame.index[250], "Open"] = np.nan
    planned = fold_queue.plan({"A": price_set(frame, DataConfig(ticker="A")), **prices("B")}, settings())
    assert list(planned.walks) == ["B"]
    assert planned.failures["A"].startswith(f"Open of {frame.index[250]:%Y-%m-%d} is nan")


def test_running_errors_are_those_of_the_forecasts():
    planned, store, reports = run(settings(), tickers=("A",))
    close = planned.walks["A"].prices.frame["Close"].to_numpy()
    origins = planned.walks["A"].origins
    forecast = np.concatenate([one.forecasts["lstm"][:, 0] for one in store.load("A")])
    errors = np.log(close[origins + 1] / forecast)
    naive = np.log(close[origins + 1] / close[origins])
    assert reports[-1].rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-12)
    assert reports[-1].naive_rmse == pytest.approx(np.sqrt(np.mean(naive**2)), rel=1e-12)


def test_ctrl_c_keeps_what_is_finished():
    config = settings(test_years=0.5)
    planned = fold_queue.plan(prices("A", "B"), config)
    store = fold_queue.MemoryStore()

    def interrupt(progress):
        if progress.done >= 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fold_queue.run(planned, store, fold_queue.ThreadEngine(2), interrupt)
    assert 3 <= sum(len(store.finished(ticker)) for ticker in "AB") <= planned.folds


def test_a_file_that_somebody_else_has_open_is_refused(tmp_path):
    file = FoldFile.create(tmp_path, settings(), prices("A"))
    with pytest.raises(RunError, match="another process is working on it"):
        FoldFile.open(tmp_path)
    file.close()
    FoldFile.open(tmp_path).close()


def test_a_damaged_file_is_refused(tmp_path):
    FoldFile.create(tmp_path, settings(), prices("A")).close()
    path = tmp_path / NAME
    content = path.read_bytes()
    price = struct.pack("<d", prices("A")["A"].frame["Close"].iloc[7])
    assert content.count(price) == 1
    path.write_bytes(content.replace(price, struct.pack("<d", 1.0), 1))
    with pytest.raises(RunError, match="it is damaged"):
        FoldFile.open(tmp_path)
    path.write_bytes(b"nothing" * 1000)
    with pytest.raises(RunError, match="cannot be"):
        FoldFile.open(tmp_path)
    with pytest.raises(RunError, match=f"there is no {NAME}"):
        FoldFile.open(tmp_path / "nowhere")
