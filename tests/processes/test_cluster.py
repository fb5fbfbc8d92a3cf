"""Folds on a cluster: the bits of one process's threads, whatever happens to workers and scheduler on the way."""

import logging
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest
from dask_processes import ROOT, Cluster, wait_until
from small_backtests import bits, prices, settings

from trendlstm.config import FitConfig
from trendlstm.errors import ClusterError, OptionError
from trendlstm.output.fold_file import FoldFile
from trendlstm.workflows import cluster, fold_queue

TICKERS = ("A", "B", "C")


@pytest.fixture
def make_cluster(tmp_path_factory):
    """Clusters that end with the test."""
    with ExitStack() as stack:

        def make(workers):
            cluster = Cluster(tmp_path_factory.mktemp("cluster"), workers)
            stack.callback(cluster.close)
            return cluster

        yield make


@pytest.fixture(scope="session")
def three_workers(tmp_path_factory):
    """A cluster for all tests that leave it as it is."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), 3)
    yield cluster
    cluster.close()


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Many tasks of a few folds."""
    monkeypatch.setattr(cluster, "BLOCK_SECONDS", 0.1)


def local_bits(config):
    """Of the threads of this process."""
    store = fold_queue.MemoryStore()
    fold_queue.run(fold_queue.plan(prices(*TICKERS), config), store, fold_queue.ThreadEngine(2))
    return all_bits(store)


def all_bits(store):
    return {ticker: bits(store, ticker) for ticker in TICKERS}


def forecast(client, config, store, report=None):
    """Run what is left on a cluster."""
    return fold_queue.run(
        fold_queue.plan(prices(*TICKERS), config), store, cluster.DaskEngine(client), report
    )


class Once:
    """Calls functions when so many folds are done, each once."""

    def __init__(self, **actions):
        self._actions = {int(done.removeprefix("at_")): action for done, action in actions.items()}

    def __call__(self, progress):
        for done in [done for done in self._actions if done <= progress.done]:
            self._actions.pop(done)()

    def are_done(self):
        return not self._actions


@pytest.mark.parametrize(
    "changes",
    [{}, {"warm_start": True, "models": ("rnn", "lstm"), "refit": 3}, {"final_fit": True, "refit": 5}],
    ids=["", "warm start", "final fit"],
)
def test_the_same_bits_as_threads_of_one_process(changes, three_workers):
    config, store = settings(**changes), fold_queue.MemoryStore()
    with cluster.connect(three_workers.address) as client:
        assert forecast(client, config, store) == {}
    assert all_bits(store) == local_bits(config)


def test_long_blocks_are_the_same_folds_in_fewer_tasks(three_workers, monkeypatch):
    config = settings(test_years=0.5)
    saved = []
    for seconds in (1e-9, 60):  # a fold a task, on machines of any speed
        monkeypatch.setattr(cluster, "BLOCK_SECONDS", seconds)
        store, reports = fold_queue.MemoryStore(), []
        with cluster.connect(three_workers.address) as client:
            before = tasks_begun(client)
            forecast(client, config, store, reports.append)
            saved.append((tasks_begun(client) - before, all_bits(store)))
    (many, one), (few, other) = saved
    assert one == other
    assert 4 < few < many / 2


def tasks_begun(client):
    """How many blocks the scheduler has ever been given."""
    return client.run_on_scheduler(
        lambda dask_scheduler: sum(
            prefix.state_counts["memory"]
            for name, prefix in dask_scheduler.task_prefixes.items()
            if "forecast" in name
        )
    )


@pytest.mark.parametrize("warm_start", [False, True])
def test_workers_are_killed_and_added_and_nothing_is_lost_or_done_twice(warm_start, make_cluster, tmp_path):
    config = settings(warm_start=warm_start, test_years=0.3)
    ours = make_cluster(3)
    file = FoldFile.create(tmp_path, config, prices(*TICKERS))  # refuses a fold that comes twice
    with cluster.connect(ours.address) as client:
        client.wait_for_workers(3)

        def kill_the_others():
            wait_until(lambda: len(client.nthreads()) == 3)  # the new one is there
            ours.kill_worker()
            ours.kill_worker()

        report = Once(at_10=ours.kill_worker, at_20=ours.add_worker, at_40=kill_the_others)
        assert forecast(client, config, file, report) == {}
    assert report.are_done()
    assert all_bits(file) == local_bits(config)
    file.close()


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_lost_scheduler_is_an_error_and_what_is_finished_is_gone_on_with(
    warm_start, make_cluster, three_workers, tmp_path
):
    config = settings(warm_start=warm_start, test_years=0.3)
    ours = make_cluster(1)
    file = FoldFile.create(tmp_path, config, prices(*TICKERS))
    with (
        pytest.raises(ClusterError, match=f"the scheduler at {ours.address} is lost.*--resume"),
        cluster.connect(ours.address) as client,
    ):
        forecast(client, config, file, Once(at_10=ours.kill_scheduler))
    file.close()
    file = FoldFile.open(tmp_path)
    finished = sum(len(file.finished(ticker)) for ticker in TICKERS)
    reports = []
    with cluster.connect(three_workers.address) as client:
        forecast(client, config, file, reports.append)
    assert 10 <= finished < reports[0].done
    assert all_bits(file) == local_bits(config)
    file.close()


OLD_NUMBA = "import numba; numba.__version__ = '0.1'"


def test_a_worker_of_another_version_is_refused_by_name(make_cluster):
    ours = make_cluster(0)
    ours.add_worker(OLD_NUMBA)
    with cluster.connect(ours.address) as client:
        client.wait_for_workers(1)
        (name,) = client.nthreads()
        with pytest.raises(ClusterError, match=f"the worker {name} has Numba 0.1, but this process has "):
            forecast(client, settings(), fold_queue.MemoryStore())


def test_a_worker_of_another_version_that_comes_later_is_refused_too(make_cluster):
    ours = make_cluster(1)
    store = fold_queue.MemoryStore()
    with cluster.connect(ours.address) as client:
        client.wait_for_workers(1)
        (old,) = client.nthreads()

        def add():
            ours.add_worker("import trendlstm.version; trendlstm.version.__version__ = '9.9'")
            client.wait_for_workers(2)

        with pytest.raises(ClusterError) as error:
            forecast(client, settings(test_years=0.9), store, Once(at_3=add))
        (new,) = set(client.nthreads()) - {old}
    assert f"the worker {new} has trendlstm 9.9, but this process has" in str(error.value)
    assert sum(len(store.finished(ticker)) for ticker in TICKERS) >= 3


def test_another_kind_of_processor_is_named(make_cluster, caplog):
    ours = make_cluster(0)
    ours.add_worker("import trendlstm.kernels.cache as cache; cache.processor = lambda: 'z80'")
    with cluster.connect(ours.address) as client:
        client.wait_for_workers(1)
        forecast(client, settings(), fold_queue.MemoryStore())
    (warning,) = [record.message for record in caplog.records if "z80" in record.message]
    assert "the last digits of their results may differ" in warning


def test_without_workers_it_says_so_and_waits_for_one(make_cluster):
    ours = make_cluster(0)
    warnings = []

    class Help(logging.Handler):
        def emit(self, record):
            warnings.append(record.getMessage())
            ours.add_worker()

    logging.getLogger("trendlstm").addHandler(Help(logging.WARNING))
    store = fold_queue.MemoryStore()
    with cluster.connect(ours.address) as client:
        forecast(client, settings(), store)
    assert warnings == [
        f"The scheduler at {ours.address} has no workers: it waits until there is one (dask worker {ours.address})."
    ]
    assert all_bits(store) == local_bits(settings())


@pytest.mark.parametrize("warm_start", [False, True])
def test_a_fold_that_fails_is_its_tickers_failure(warm_start, three_workers):
    config = settings(warm_start=warm_start, fit=FitConfig(epochs=2, patience=1, learning_rate=1e30))
    with cluster.connect(three_workers.address) as client:
        failures = forecast(client, config, fold_queue.MemoryStore())
    assert set(failures) == set(TICKERS)
    assert all("the loss is no longer finite" in failure for failure in failures.values())


def test_ctrl_c_takes_back_the_tasks_and_keeps_what_is_finished(three_workers):
    def interrupt():
        raise KeyboardInterrupt

    store = fold_queue.MemoryStore()
    with cluster.connect(three_workers.address) as client:
        with pytest.raises(KeyboardInterrupt):
            forecast(client, settings(test_years=0.9), store, Once(at_10=interrupt))
        wait_until(lambda: client.run_on_scheduler(lambda dask_scheduler: not dask_scheduler.tasks))
    assert sum(len(store.finished(ticker)) for ticker in TICKERS) >= 10


@pytest.mark.parametrize(
    "address, error, text",
    [
        ("tcp://127.0.0.1:9", ClusterError, "no scheduler answers at tcp://127.0.0.1:9"),
        ("carrier pigeon://x", OptionError, "is no address of a scheduler"),
    ],
)
def test_no_scheduler_is_one_sentence(address, error, text, monkeypatch, capfd):
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    with pytest.raises(error, match=text), cluster.connect(address):
        pass
    assert capfd.readouterr().err == ""


SCRIPT = """
import sys
from small_backtests import prices, settings
from trendlstm.config import FitConfig
from trendlstm.errors import ClusterError
from trendlstm.workflows import cluster, fold_queue

if __name__ == "__main__":
    cluster.BLOCK_SECONDS = 0.1
    config = settings(test_years=0.9, fit=FitConfig(epochs=50, patience=50))  # not done before the signal comes
    planned = fold_queue.plan(prices("A", "B"), config)
    store = fold_queue.MemoryStore()
    try:
        with cluster.connect(*sys.argv[1:]) if sys.argv[1:] else cluster.local_cluster(2) as client:
            fold_queue.run(planned, store, cluster.DaskEngine(client), lambda one: print("fold", flush=True))
    except KeyboardInterrupt:
        print("interrupted after", sum(len(store.finished(ticker)) for ticker in ("A", "B")))
    except ClusterError as error:
        print(error)
"""


@contextmanager
def after_the_first_fold(tmp_path, *arguments):
    """A script that works on a cluster; it must end by itself after the block, without a word on stderr."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with open(tmp_path / "stderr", "w+") as errors:
        command = [sys.executable, script, *arguments]
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True
        ) as process:
            assert process.stdout.readline() == "fold\n"
            yield process
        errors.seek(0)
        assert (process.returncode, errors.read()) == (0, "")


def test_ctrl_c_ends_a_local_cluster_without_a_word(tmp_path):
    with after_the_first_fold(tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert re.fullmatch(r"interrupted after [1-9]\d*", process.stdout.read().splitlines()[-1])


def test_a_lost_scheduler_is_one_sentence(make_cluster, tmp_path):
    ours = make_cluster(1)
    with cluster.connect(ours.address) as client:
        client.wait_for_workers(1, timeout=60)  # else a warning says that there is none yet
    with after_the_first_fold(tmp_path, ours.address) as process:
        ours.kill_scheduler()
        sentence = process.stdout.read().splitlines()[-1]
    assert sentence.startswith(f"the scheduler at {ours.address} is lost")
