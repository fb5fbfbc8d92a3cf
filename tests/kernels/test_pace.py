"""How many threads of a fit take part: what is decided from the times, and that no result depends on it."""

import numba
import numpy as np
import pytest

from trendlstm import Network
from trendlstm.kernels import pace as pacing
from trendlstm.kernels.gang import COUNTERS, WAITED
from trendlstm.nn import training

MS = 1_000_000
PERIOD = 10 * MS


@numba.njit
def choose(pace, counters, now):
    pacing.choose_active(pace[0], counters, now)


class Machine:
    """A machine on which an epoch takes `ms[size]`, and the threads together wait for a share of their time."""

    def __init__(self, threads, ms, waiting):
        self.pace, self.counters = pacing.start_pace(threads, 64), np.zeros(COUNTERS, np.int64)
        self.ms, self.waiting = ms, waiting
        self.now, self.sizes = MS, []

    def run(self, epochs):
        """The numbers of threads of so many epochs."""
        begin = len(self.sizes)
        for _ in range(epochs):
            size = int(self.pace[0].active)
            self.sizes.append(size)
            time = int(self.ms[size] * MS)
            self.now += time
            self.counters[WAITED] += int(self.waiting[size] * time * size)
            choose(self.pace, self.counters, self.now)
        return self.sizes[begin:]


@pytest.mark.parametrize("ms", [3, 30])
def test_threads_that_hardly_wait_are_left_alone(ms):
    machine = Machine(4, dict.fromkeys(range(1, 5), ms), dict.fromkeys(range(1, 5), 0.1))
    assert set(machine.run(2000)) == {4}


def test_where_a_core_is_taken_fewer_threads_are_tried_and_kept():
    machine = Machine(2, {2: 40, 1: 30}, {2: 0.4, 1: 0.0})
    sizes = machine.run(2000)
    assert sizes[:5] == [2, 2, 2, 1, 1]  # the first epoch does not count, nor one after a change
    assert np.mean(sizes) < 1.04  # later on more are tried again, ever more rarely
    machine.ms[2], machine.waiting[2] = 18, 0.0
    assert machine.run(400)[-1] == 2  # the core is free again


def test_a_trial_in_vain_is_repeated_ever_more_rarely():
    """Three chunks on two threads: one of them always waits, and both are faster than one."""
    machine = Machine(2, {2: 20, 1: 30}, {2: 0.25, 1: 0.0})
    sizes = np.array(machine.run(2000))
    trials = np.flatnonzero(sizes == 1)
    assert len(trials) < 50 and np.diff(trials).max() >= 128 and sizes[-1] == 2


def test_periods_of_short_epochs_are_long_enough_to_tell():
    machine = Machine(2, {2: 1, 1: 0.5}, {2: 0.5, 1: 0.0})
    sizes = machine.run(60)
    assert sizes[:21] == [2] * 21 and sizes[22] == 1


def test_one_slow_period_is_no_reason_for_fewer_threads():
    """One thread would look fast beside it."""
    machine = Machine(2, {2: 2, 1: 2.6}, {2: 0.05, 1: 0.0})
    machine.run(100)
    for _ in range(20):
        machine.ms[2], machine.waiting[2] = 12, 0.6
        machine.run(1)
        machine.ms[2], machine.waiting[2] = 2, 0.05
        assert set(machine.run(20)) == {2}


def test_no_more_threads_take_part_than_there_are_cores():
    assert pacing.start_pace(7, 2)[0].active == 2 and pacing.start_pace(2, 7)[0].active == 2
    pace, counters = pacing.start_pace(7, 2), np.zeros(COUNTERS, np.int64)
    for k in range(1, 100):
        choose(pace, counters, k * PERIOD)
        assert pace[0].active == 2


def test_threads_are_led_down_one_by_one():
    machine = Machine(4, {4: 50, 3: 40, 2: 20, 1: 35}, {4: 0.5, 3: 0.4, 2: 0.0, 1: 0.0})
    assert np.bincount(machine.run(1000)).argmax() == 2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_that_come_and_go_leave_no_trace(dtype, monkeypatch):
    """The fit begins with one of three threads, and takes more and fewer of them while it runs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 20, 1)), rng.normal(size=(400, 1))
    paces = []

    def start_with_one(threads, cores):
        pace = pacing.start_pace(threads, 64)
        pace["active"] = pace["usual"] = 1
        paces.append(pace)
        return pace

    def weights(threads):
        network = Network(hidden_size=64, dense=(5,), dtype=dtype)
        history = network.fit(x, y, epochs=25, validation=(x[:50], y[:50]), clip_norm=1.0, n_threads=threads)
        tensors = network.state_dict().values()
        return b"".join([t.tobytes() for t in tensors]) + history.loss.tobytes()

    expected = weights(1)
    monkeypatch.setattr(training, "_paces", {})
    monkeypatch.setattr(training, "start_pace", start_with_one)
    assert weights(3) == expected
    assert paces[-1][0].active > 1 or paces[-1][0].trials > 0  # another number was tried


def test_a_trial_of_more_threads_is_over_after_an_epoch_that_is_much_slower():
    machine = Machine(2, {2: 40, 1: 20}, {2: 0.4, 1: 0.0})
    sizes = np.array(machine.run(400))
    (starts,) = np.nonzero(np.diff(sizes) > 0)
    assert len(starts) > 2 and (sizes[starts + 1] == 2).all() and (sizes[starts + 2] == 1).all()


def test_a_fit_begins_with_what_the_last_of_its_size_has_found(monkeypatch):
    paces, clock = [], [100.0]

    def start(threads, cores):
        paces.append(pacing.start_pace(threads, 64))
        return paces[-1]

    def start_and_find_one(threads, cores):
        pace = start(threads, cores)
        pace["active"], pace["usual"], pace["trials"], pace["wait"], pace["last_wait"] = 1, 1, 1, 30, 32
        return pace

    def begins_with(samples=64):
        """With how many threads, and how long it waits before it tries others."""
        network = Network(hidden_size=3, dense=())
        network.fit(np.zeros((samples, 2, 1)), np.zeros((samples, 1)), epochs=1, batch_size=64, n_threads=3)
        return int(paces[-1][0].usual), int(paces[-1][0].wait)

    monkeypatch.setattr(training, "_paces", {})
    monkeypatch.setattr(training.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(training, "start_pace", start)
    assert begins_with() == begins_with() == (3, 0)  # the first has tried nothing
    monkeypatch.setattr(training, "start_pace", start_and_find_one)
    begins_with()
    monkeypatch.setattr(training, "start_pace", start)
    assert begins_with() == begins_with() == (1, 30)  # not from 32 on: short fits would never try again
    assert begins_with(samples=16) == (2, 0)  # another size
    clock[0] += 11
    assert begins_with() == (3, 0)  # by now others may have left the cores
