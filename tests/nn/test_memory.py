"""Memory that jobs leave to the next: none of it shows in a result, nobody shares it, and not too much of it stays."""

import threading

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.errors import TrainingError
from trendlstm.nn import memory as pool


@pytest.fixture(autouse=True)
def _empty():
    pool._spare.clear()
    yield
    pool._spare.clear()


def samples(steps=5, count=21):
    rng = np.random.default_rng(steps)
    return rng.normal(size=(count, steps, 2)), rng.normal(size=(count, 1))


def results(shape, steps, batch_size, threads):
    """All bits of a fit and of predictions, with 1 row a sample and with chunks."""
    network = tl.Network(2, **shape)
    x, y = samples(steps)
    history = network.fit(
        x, y, epochs=2, batch_size=batch_size, validation=(x[:9], y[:9]), clip_norm=1e-3, n_threads=threads
    )
    arrays = [*network.state_dict().values(), history.loss, history.validation_loss]
    arrays += [
        network.predict(x),
        network.predict(x[:1]),
        *network.loss_and_gradients(x[:3], y[:3])[1].values(),
    ]
    return [array.tobytes() for array in arrays]


SHAPES = (
    {"hidden_size": 3, "dense": ()},
    {"hidden_size": 3, "dense": (), "cell": "gru"},
    {"hidden_size": 19, "dense": (4,), "dropout": 0.2},
    {"hidden_size": (3, 5), "dense": (4,), "recurrent_dropout": 0.2},
    {"hidden_size": 3, "dense": (), "dtype": "float64"},
    {"hidden_size": 3, "dense": (), "bias": False},
)


@pytest.mark.parametrize("broken", [False, True])
def test_no_result_depends_on_what_an_earlier_job_has_left(broken):
    """Jobs of all shapes after each other, in the memory of the one before, which may end with NaN everywhere."""
    jobs = [
        (shape, *others) for others in ((5, 2, 1), (3, 20, 3), (1, 20, 2)) for shape in SHAPES
    ]  # gradients of one size
    alone = []
    for job in jobs:
        pool._spare.clear()
        alone.append(results(*job))
    for job, expected in zip(jobs, alone, strict=True):
        if broken:
            network = tl.Network(2, **job[0])
            rate = 1e39 if network.dtype == np.float32 else 1e308
            with pytest.raises(TrainingError):
                network.fit(*samples(job[1]), learning_rate=rate, batch_size=job[2], n_threads=job[3])
            assert pool._spare  # and what is in it is not finite
        assert results(*job) == expected


def test_a_second_job_of_the_same_size_makes_no_arrays(monkeypatch):
    x, y = samples()
    network = tl.Network(2, 8)

    def work(predict_rows):
        network.fit(x, y, epochs=1, batch_size=8)
        network.predict(x[:predict_rows])

    work(21)
    monkeypatch.setattr(pool.buffers, "aligned_zeros", None)  # whose call would fail
    work(21)
    with pytest.raises(TypeError):
        work(1)


def test_jobs_at_the_same_time_have_memory_of_their_own():
    taken, barrier = [], threading.Barrier(4)

    def job():
        memory = pool.take_memory()
        barrier.wait()
        taken.append(memory)
        pool.leave_memory(memory)

    for _ in range(2):
        threads = [threading.Thread(target=job) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(taken[:4])) == 4 and set(taken[4:]) == set(taken[:4])


def test_what_stays_is_limited(monkeypatch):
    monkeypatch.setattr(pool, "_MOST_BYTES", 100_000)
    memories = [pool.Memory() for _ in range(5)]
    for memory in memories:
        memory.zeros("values", (5_000,), np.dtype(np.float64))
        assert memory.nbytes == 40_000
        memory.zeros("values", (2_500,), np.dtype(np.float64))
        memory.zeros("others", (2_500,), np.dtype(np.float64))
        assert memory.nbytes == 40_000  # those of the same name went
        pool.leave_memory(memory)
    assert list(pool._spare) == memories[-2:]
    memories[0].zeros("values", (20_000,), np.dtype(np.float64))
    pool.leave_memory(memories[0])
    assert list(pool._spare) == memories[-2:]


def test_memory_counts_its_work_spaces():
    x, y = samples()
    tl.Network(2, 8).fit(x, y, epochs=1, batch_size=8, n_threads=1)
    (memory,) = pool._spare
    before = memory.nbytes
    tl.Network(2, 80).fit(x, y, epochs=1, batch_size=8, n_threads=1)
    assert memory.nbytes > 4 * before
    tl.Network(2, 8).fit(x, y, epochs=1, batch_size=8, n_threads=1)
    assert memory.nbytes == before
