"""Training against the reference in naive.py, and its promises: same bits, best weights, a clean stop."""

import contextlib
import multiprocessing
import pickle
import re
import signal
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import naive
import numpy as np
import pytest
from naive import assert_close
from numba.core.runtime import _nrt_python as memory_statistics
from numba.core.runtime import rtsys

import trendlstm as tl
from trendlstm.errors import DataError, OptionError, TrainingError, TrendLSTMError

RECURRENT = ["lstm", "lstm1997", "gru", "rnn", "rnn-sigmoid"]
CELLS = [*RECURRENT, "ann"]


def problem(N=45, T=6, F=2, m=1, seed=0):
    """Inputs, and targets that a small network can partly learn."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, T, F))
    return x, x[:, -1, :1] - 0.5 * x[:, 0, :1] + 0.3 * rng.normal(size=(N, m))


def network(cell="lstm", dtype="float64", T=6, F=2, H=8, dense=(5,), m=1, **options):
    """A network whose biases are not 0 either."""
    net = tl.Network(
        input_size=F,
        hidden_size=H,
        dense=dense,
        output_size=m,
        cell=cell,
        dtype=dtype,
        lag=T if cell == "ann" else None,
        **options,
    )
    net.load_state_dict(naive.random_params(np.random.default_rng(42), cell, T, F, H, dense, m))
    return net


def weights(net):
    """All parameters as bytes: equal means equal bit for bit."""
    return b"".join(tensor.tobytes() for tensor in net.state_dict().values())


def reference(net):
    return {name: tensor.astype(np.float64) for name, tensor in net.state_dict().items()}


@pytest.fixture
def press_ctrl_c():
    """What Ctrl-C does in a terminal, also where a shell has started this process with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield lambda: signal.raise_signal(signal.SIGINT)
    signal.signal(signal.SIGINT, before)


# -------------------------------------------------------------------------------------- against the reference


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": False},
        {"shuffle": True},
        {"shuffle": True, "seed": 2**63 - 1},
        {"clip_norm": 0.05},
        {"weight_decay": 0.3},
        {"clip_norm": 0.05, "weight_decay": 0.3, "learning_rate": 0.05},
        {"batch_size": 1, "epochs": 1},
        {"batch_size": 1000, "epochs": 12},
    ],
    ids=str,
)
@pytest.mark.parametrize("cell", CELLS)
def test_adam_steps_are_the_references(cell, options):
    """Twelve steps: four epochs of minibatches of 20, 20 and 5; three outputs, over which a loss is the mean too."""
    x, y = problem(m=3)
    net = network(cell, m=3, seed=11)
    start = reference(net)
    settings = {"epochs": 4, "batch_size": 20, "learning_rate": 0.01, "seed": 11} | options
    history = net.fit(x, y, **({"epochs": 4, "batch_size": 20, "learning_rate": 0.01} | options))
    after_epoch, losses = naive.fit(start, x, y, cell, **settings)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-9, name)
        assert np.max(np.abs(tensor - start[name])) > 1e-5, f"{name} was not trained"


@pytest.mark.parametrize("cell", RECURRENT)
def test_adam_steps_on_sequences_of_different_lengths(cell):
    x, y = problem()
    lengths = np.random.default_rng(1).integers(1, 6, len(x), endpoint=True)
    net = network(cell)
    after_epoch, losses = naive.fit(reference(net), x, y, cell, epochs=4, batch_size=20, lengths=lengths)
    history = net.fit(x, y, epochs=4, batch_size=20, lengths=lengths)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-9, name)


@pytest.mark.parametrize("n_threads", [1, 4])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cell", RECURRENT)
def test_adam_steps_on_the_outputs_of_every_step(cell, padded, n_threads):
    """A minibatch's loss is the mean over all its steps, an epoch's over all steps of all samples."""
    rng = np.random.default_rng(1)
    x, y = problem()[0], rng.normal(size=(45, 6, 3))
    options = {"lengths": rng.integers(1, 6, 45, endpoint=True)} if padded else {}
    net = network(cell, m=3)
    after_epoch, losses = naive.fit(reference(net), x, y, cell, epochs=4, batch_size=20, **options)
    history = net.fit(x, y, epochs=4, batch_size=20, n_threads=n_threads, **options)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-9, name)


def test_validation_on_the_outputs_of_every_step():
    rng = np.random.default_rng(1)
    (x, y), (xv, yv) = ((rng.normal(size=(N, 6, 2)), rng.normal(size=(N, 6, 1))) for N in (45, 19))
    net = network()
    after_epoch, _ = naive.fit(reference(net), x, y, epochs=3)
    history = net.fit(x, y, epochs=3, validation=(xv, yv))
    expected = [naive.mse(naive.predict(params, xv, every_step=True), yv) for params in after_epoch]
    np.testing.assert_allclose(history.validation_loss, expected, rtol=1e-9)
    with pytest.raises(DataError, match=r"^validation y .* every step"):
        net.fit(x, y, validation=(xv, yv[:, -1]))


@pytest.mark.parametrize("every_step", [False, True])
@pytest.mark.parametrize("cell", RECURRENT)
def test_dropout_and_recurrent_dropout_between_several_layers(cell, every_step):
    """The draws are numbered, so the reference's plain loop makes the same."""
    x, y = problem(m=3)
    if every_step:
        y = np.random.default_rng(1).normal(size=(45, 6, 3))
    dropped = {"dropout": 0.3, "recurrent_dropout": 0.4}
    net = network(cell, m=3, H=(8, 5, 6), seed=11, **dropped)
    start, copies = reference(net), [pickle.loads(pickle.dumps(net)) for _ in range(2)]
    after_epoch, losses = naive.fit(start, x, y, cell, epochs=3, batch_size=20, seed=11, **dropped)
    history = net.fit(x, y, epochs=3, batch_size=20, validation=(x, y))
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    best = after_epoch[history.best_epoch - 1]
    for name, tensor in net.state_dict().items():
        assert_close(tensor, best[name], 1e-9, name)
    outputs = naive.predict(best, x, cell, every_step)  # nothing is dropped here
    assert history.validation_loss[history.best_epoch - 1] == pytest.approx(naive.mse(outputs, y), rel=1e-9)
    for copy, n_threads in zip(copies, (3, 16), strict=True):
        copy.fit(x, y, epochs=3, batch_size=20, validation=(x, y), n_threads=n_threads)
        assert weights(copy) == weights(net)


# ------------------------------------------------------------------------------- truncated back-propagation


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("truncate", [1, 4, 5])
@pytest.mark.parametrize("cell", RECURRENT)
def test_truncated_steps_are_the_references(cell, truncate, n_threads):
    """Eleven steps in parts of 1, 4 or 5, with samples that end in each of them."""
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(45, 11, 2)), rng.normal(size=(45, 11, 3))
    lengths = rng.integers(1, 11, 45, endpoint=True)
    net = network(cell, m=3, H=(8, 5), seed=3)
    settings = {"epochs": 2, "batch_size": 20, "lengths": lengths, "truncate": truncate}
    after_epoch, losses = naive.fit(reference(net), x, y, cell, seed=3, **settings)
    history = net.fit(x, y, n_threads=n_threads, **settings)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-8, name)


def test_a_truncated_fit_validates_on_whole_sequences():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(19, 11, 2)), rng.normal(size=(19, 11, 1))
    net = network()
    history = net.fit(x, y, epochs=3, truncate=4, validation=(x, y), n_threads=2)
    best = history.validation_loss[history.best_epoch - 1]
    assert best == pytest.approx(naive.mse(net.predict(x, every_step=True), y), rel=1e-9)


def test_truncation_beyond_the_last_step_changes_nothing():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(19, 11, 2)), rng.normal(size=(19, 11, 1))
    whole, truncated = network(), network()
    whole.fit(x, y, epochs=2)
    truncated.fit(x, y, epochs=2, truncate=50)
    assert weights(whole) == weights(truncated)


def test_what_lies_before_a_part_is_known_but_not_learned_from():
    """The target at step 8 is the input of step 1: full gradients find the way, truncated ones cannot."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(200, 8, 1))
    y, lengths = np.zeros((200, 8, 1)), np.full(200, 8)
    y[:, 7] = x[:, 0]
    errors = {}
    for truncate in (None, 4):
        net = tl.Network(hidden_size=12, dense=(), seed=2)
        net.fit(x, y, epochs=150, learning_rate=0.01, truncate=truncate, lengths=lengths)
        errors[truncate] = np.mean((net.predict(x) - x[:, 0]) ** 2)
    assert errors[None] < 0.1 < 0.7 < errors[4]


def test_truncation_needs_targets_of_every_step():
    x, y = problem()
    with pytest.raises(OptionError, match="every step"):
        network().fit(x, y, truncate=3)
    with pytest.raises(OptionError, match="truncate must be a whole number"):
        network().fit(x, y, truncate=0)
    with pytest.raises(OptionError, match="warmup cannot be combined with truncate"):
        network().fit(x, y, truncate=3, warmup=1, epochs=3)


def test_dropout_of_a_feed_forward_network():
    x, y = problem()
    net = network("ann", dropout=0.5)
    plain = network("ann")
    plain.fit(x, y, epochs=2)
    net.fit(x, y, epochs=2)
    assert weights(net) != weights(plain) and np.isfinite(net.predict(x)).all()


def test_float32_follows_the_reference():
    x, y = problem()
    net = network(dtype="float32")
    after_epoch, losses = naive.fit(reference(net), x, y, epochs=4, batch_size=20)
    np.testing.assert_allclose(net.fit(x, y, epochs=4, batch_size=20).loss, losses, rtol=1e-4)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-4, name)


def test_progress_ends_with_the_last_epoch():
    x, y = problem()
    reports = []
    history = network().fit(x, y, epochs=7, validation=(x, y), progress=reports.append)
    assert [report.epoch for report in reports] == sorted(report.epoch for report in reports)
    assert (reports[-1].epoch, reports[-1].epochs) == (7, 7)
    assert reports[-1].loss == history.loss[-1]
    assert reports[-1].validation_loss == history.validation_loss[-1]
    assert history.stopped == "epochs"


def test_every_fit_starts_adam_afresh():
    x, y = problem()
    net = network()
    net.fit(x, y, epochs=3, shuffle=False)
    after_epoch, _ = naive.fit(reference(net), x, y, epochs=3, shuffle=False)
    net.fit(x, y, epochs=3, shuffle=False)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-9, name)


def test_clipping_above_the_norm_changes_nothing():
    x, y = problem()
    free, clipped = network(), network()
    free.fit(x, y, epochs=2)
    clipped.fit(x, y, epochs=2, clip_norm=1e6)
    for name, tensor in free.state_dict().items():
        assert_close(clipped.state_dict()[name], tensor, 1e-12, name)


# ---------------------------------------------------------------------------------------------- the same bits


@pytest.mark.parametrize(("cell", "every_step"), [*((cell, False) for cell in CELLS), ("lstm", True)])
def test_weights_do_not_depend_on_the_number_of_threads(cell, every_step):
    """203 samples are 25.4 chunks; the last minibatch has 3 rows, far fewer chunks than threads."""
    x, y = problem(203)
    if every_step:
        y = np.repeat(y[:, None], 6, axis=1)
    trained, losses = set(), set()
    for n_threads in (1, 2, 4, 4, 32, None):
        net = network(cell, "float32")
        history = net.fit(
            x, y, epochs=3, batch_size=100, n_threads=n_threads, validation=(x[:50], y[:50]), clip_norm=1.0
        )
        trained.add(weights(net))
        losses.add(history.loss.tobytes() + history.validation_loss.tobytes())
    assert len(trained) == len(losses) == 1


def test_weights_of_minibatches_with_more_chunks_than_accumulators():
    x, y = problem(400)
    after_epoch, _ = naive.fit(reference(network()), x, y, epochs=3, batch_size=400)
    trained = set()
    for n_threads in (1, 2, 3, 4):
        net = network()
        net.fit(x, y, epochs=3, batch_size=400, n_threads=n_threads)
        trained.add(weights(net))
        for name, tensor in net.state_dict().items():
            assert_close(tensor, after_epoch[-1][name], 1e-9, name)
    assert len(trained) == 1


def test_seed_defaults_to_the_networks():
    x, y = problem()
    by_default, by_hand, other = (network(seed=7) for _ in range(3))
    by_default.fit(x, y, epochs=2, batch_size=8)
    by_hand.fit(x, y, epochs=2, batch_size=8, seed=7)
    other.fit(x, y, epochs=2, batch_size=8, seed=8)
    assert weights(by_default) == weights(by_hand) != weights(other)


# ----------------------------------------------------------------------------------------------- best weights


def overfitting(m=1):
    """Thirty samples of noise, and others of the same noise to be wrong about."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 6, 2)), rng.normal(size=(60, m))
    return (x[:30], y[:30]), (x[30:], y[30:])


@pytest.mark.parametrize("m", [1, 3])
def test_best_validation_weights_are_restored(m):
    (x, y), validation = overfitting(m)
    net = network(m=m)
    after_epoch, losses = naive.fit(reference(net), x, y, epochs=40, batch_size=10, learning_rate=0.02)
    validation_losses = [
        naive.mse(naive.predict(params, validation[0]), validation[1]) for params in after_epoch
    ]
    best = int(np.argmin(validation_losses))
    assert 0 < best < 30, "the problem must overfit to test anything"

    history = net.fit(x, y, epochs=40, batch_size=10, learning_rate=0.02, validation=validation)
    assert history.best_epoch == best + 1
    assert history.epochs_run == len(history.loss) == len(history.validation_loss) == 40
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    np.testing.assert_allclose(history.validation_loss, validation_losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[best][name], 1e-9, name)


def test_validation_does_not_change_the_training():
    (x, y), validation = overfitting()
    watched, alone = network(), network()
    history = watched.fit(x, y, epochs=20, batch_size=10, learning_rate=0.02, validation=validation)
    blind = alone.fit(x, y, epochs=history.best_epoch, batch_size=10, learning_rate=0.02)
    assert blind.validation_loss is None
    assert blind.loss.tobytes() == history.loss[: history.best_epoch].tobytes()
    assert weights(alone) == weights(watched)


def test_without_validation_the_last_weights_stay():
    x, y = problem()
    net = network()
    history = net.fit(x, y, epochs=5)
    after_epoch, _ = naive.fit(reference(network()), x, y, epochs=5)
    assert history.epochs_run == 5
    assert history.best_epoch == 5
    assert_close(net.state_dict()["dense.0.weight"], after_epoch[4]["dense.0.weight"], 1e-9)


@pytest.mark.parametrize("patience", [1, 3])
def test_patience_stops_after_epochs_without_a_better_one(patience):
    (x, y), validation = overfitting()
    patient, whole = network(), network()
    options = {"batch_size": 10, "learning_rate": 0.02, "validation": validation}
    history = patient.fit(x, y, epochs=1000, patience=patience, **options)
    losses = whole.fit(x, y, epochs=history.epochs_run, **options).validation_loss
    assert history.validation_loss.tobytes() == losses.tobytes()
    assert history.best_epoch == np.argmin(losses) + 1
    assert history.epochs_run == history.best_epoch + patience
    assert history.stopped == "patience"
    assert weights(patient) == weights(whole)


def silent_network():
    """All ReLUs are off for good, so the output is the last bias, which equals the target: no gradient."""
    net = network()
    state = net.state_dict()
    state["dense.0.bias"][:] = -1e6
    state["dense.1.bias"][:] = 0.25
    net.load_state_dict(state)
    return net


def test_ties_keep_the_earlier_weights():
    """Weight decay changes the weights in every epoch, the losses stay the same."""
    x = problem()[0]
    y = np.full((len(x), 1), 0.25)
    net, one_epoch = silent_network(), silent_network()
    history = net.fit(x, y, epochs=5, weight_decay=0.5, validation=(x, y + 1))
    assert len(set(history.validation_loss)) == 1
    assert history.best_epoch == 1
    one_epoch.fit(x, y, epochs=1, weight_decay=0.5)
    assert weights(net) == weights(one_epoch) != weights(silent_network())


# ------------------------------------------------------------------------------ many fits, threads, processes


def several():
    networks = [
        network(cell, seed=seed, F=1) for seed, cell in enumerate(["lstm", "lstm", "rnn", "lstm1997", "ann"])
    ]
    problems = [problem(40 + 9 * seed, F=1, seed=seed) for seed in range(5)]
    return networks, [x for x, _ in problems], [y for _, y in problems]


@pytest.mark.parametrize("n_threads", [1, 2, 4, 16, None])
def test_fit_many_is_each_fit_alone(n_threads):
    networks, xs, ys = several()
    histories = tl.fit_many(networks, xs, ys, epochs=4, batch_size=16, clip_norm=1.0, n_threads=n_threads)
    alone, _, _ = several()
    for net, other, x, y, history in zip(networks, alone, xs, ys, histories, strict=True):
        expected = other.fit(x, y, epochs=4, batch_size=16, clip_norm=1.0)
        assert history.loss.tobytes() == expected.loss.tobytes()
        assert weights(net) == weights(other)


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("shared", [True, False])
def test_fit_many_with_validation(shared, count):
    networks, xs, ys = (items[:count] for items in several())
    pairs = [(xs[0], ys[0])] * count if shared else list(zip(reversed(xs), reversed(ys), strict=True))
    histories = tl.fit_many(
        networks, xs, ys, epochs=6, learning_rate=0.02, patience=2, validation=pairs[0] if shared else pairs
    )
    alone, _, _ = several()
    for net, other, x, y, pair, history in zip(
        networks, alone[:count], xs, ys, pairs, histories, strict=True
    ):
        expected = other.fit(x, y, epochs=6, learning_rate=0.02, patience=2, validation=pair)
        assert history.best_epoch == expected.best_epoch
        assert history.validation_loss.tobytes() == expected.validation_loss.tobytes()
        assert weights(net) == weights(other)


def test_fit_many_refuses_lists_of_different_lengths():
    networks, xs, ys = several()
    with pytest.raises(TrendLSTMError, match="xs"):
        tl.fit_many(networks, xs[:-1], ys)
    with pytest.raises(TrendLSTMError, match="ys"):
        tl.fit_many(networks, xs, ys[:-1])


def test_fit_many_refuses_one_network_twice():
    networks, xs, ys = several()
    with pytest.raises(TrendLSTMError, match="twice"):
        tl.fit_many([networks[0], networks[1], networks[0]], xs[:3], ys[:3])


def test_fit_many_raises_when_one_loss_is_not_finite():
    networks, xs, ys = several()
    ys[2] = np.full_like(ys[2], 1e200)  # its square is beyond float64
    before = weights(networks[2])
    with pytest.raises(TrainingError, match="epoch 1"):
        tl.fit_many(networks, xs, ys, epochs=1000, n_threads=2)
    assert weights(networks[2]) == before
    for net in networks:
        assert all(np.isfinite(tensor).all() for tensor in net.state_dict().values())


def test_ctrl_c_stops_all_of_fit_many(press_ctrl_c):
    networks, xs, ys = several()

    def interrupt(report):
        if report.epoch >= 20:
            press_ctrl_c()

    with pytest.raises(KeyboardInterrupt):
        tl.fit_many(networks, xs, ys, epochs=10**5, n_threads=2, progress=interrupt)
    fresh, _, _ = several()
    assert weights(networks[0]) != weights(fresh[0]), "the epochs that were finished are kept"
    for net in networks:
        assert all(np.isfinite(tensor).all() for tensor in net.state_dict().values())


def fitted_weights(cell="lstm"):
    x, y = problem(100)
    net = network(cell, "float32")
    net.fit(x, y, epochs=5, n_threads=2)
    return weights(net)


def test_fits_from_four_python_threads_at_once():
    cells = ["lstm", "rnn", "lstm", "lstm1997"]
    one_after_another = [fitted_weights(cell) for cell in cells]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(fitted_weights, cells)) == one_after_another


def send_fitted_weights(connection):
    connection.send_bytes(fitted_weights())


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_fit_in_a_forked_child_after_a_fit_in_the_parent():
    expected = fitted_weights()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=send_fitted_weights, args=(sender,))
    with warnings.catch_warnings():
        # Python 3.12 warns of every fork while threads exist; whether this one is safe is tested here.
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child.start()
    sender.close()  # the child's copy is the last one: should it die, the pipe ends
    try:
        assert receiver.poll(60), "the child did not finish its fit"
        assert receiver.recv_bytes() == expected
    finally:
        child.kill()
        child.join()


# ------------------------------------------------------------------------------------------------ clean stops


@pytest.mark.parametrize("batch_size", [8, 1000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_weights(dtype, batch_size):
    x, y = problem()
    net = network(dtype=dtype, dense=(32, 32), seed=1)
    learning_rate = 1e12 if dtype == "float32" else 1e110
    with pytest.raises(TrainingError, match=r"\bepoch \d+\b.*learning"):
        net.fit(x, y, epochs=50, batch_size=batch_size, learning_rate=learning_rate)
    assert all(np.isfinite(tensor).all() for tensor in net.state_dict().values())
    loss, _ = net.loss_and_gradients(x.astype(dtype), y.astype(dtype))
    assert np.isfinite(loss)


@pytest.mark.parametrize(("dtype", "learning_rate"), [("float32", 1e39), ("float64", 1e308)])
def test_weights_that_overflow_in_the_very_last_step_are_not_kept(dtype, learning_rate):
    """No loss is computed after it that could tell."""
    x, y = problem()
    net = network(dtype=dtype)
    before = weights(net)
    with pytest.raises(TrainingError, match=r"\bepoch 1\b"):
        net.fit(x, y, epochs=1, batch_size=1000, learning_rate=learning_rate)
    assert weights(net) == before


def test_the_epoch_of_a_loss_that_is_not_finite_is_named():
    """A decay of 1 - lr * decay = -9 a step makes the weights grow ninefold until the loss overflows."""
    x, y = problem()
    options = {"batch_size": 1000, "learning_rate": 1.0, "weight_decay": 10.0}
    net, shorter = network(dtype="float32"), network(dtype="float32")
    with pytest.raises(TrainingError) as error:
        net.fit(x, y, epochs=200, **options)
    epoch = int(re.search(r"\bepoch (\d+)\b", str(error.value))[1])  # counted from 1, as users count
    assert epoch > 3
    history = shorter.fit(x, y, epochs=epoch - 1, **options)
    assert np.isfinite(history.loss).all()


def test_ctrl_c_keeps_the_best_weights_so_far(press_ctrl_c):
    (x, y), validation = overfitting()
    options = {"batch_size": 10, "learning_rate": 0.02, "validation": validation}
    whole = network()
    history = whole.fit(x, y, epochs=60, **options)
    assert history.best_epoch < 40, "best epoch too late for what follows"
    reports = []

    def interrupt(report):
        reports.append(report.epoch)
        if report.epoch >= 60:
            press_ctrl_c()

    net = network()
    with pytest.raises(KeyboardInterrupt):
        net.fit(x, y, epochs=10**5, progress=interrupt, **options)
    assert weights(net) == weights(whole)
    assert sum(epoch >= 60 for epoch in reports) == 1, "a report after the interrupt"
    assert reports[-1] < 10**5


def test_an_exception_in_progress_stops_the_fit():
    x, y = problem()
    net, finished = network(), {weights(network())}
    for epochs in range(1, 6):
        other = network()
        other.fit(x, y, epochs=epochs, batch_size=45)
        finished.add(weights(other))

    def fail(report):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        net.fit(x, y, epochs=5, batch_size=45, progress=fail)
    assert weights(net) in finished
    net.fit(x, y, epochs=1)  # and the network can go on


# ------------------------------------------------------------------------------------------------- the caller


def test_the_callers_arrays_are_never_changed():
    lengths = np.random.default_rng(1).integers(1, 6, 33, endpoint=True)
    arrays = [*problem(33), *problem(9, seed=1), lengths]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    x, y, xv, yv, lengths = arrays
    for dtype in ("float64", "float32"):
        network(dtype=dtype).fit(x, y, epochs=2, validation=(xv, yv))
        network(dtype=dtype).fit(x, y, epochs=2, lengths=lengths)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": -1}, "batch_size"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"clip_norm": 0.0}, "clip_norm"),
        ({"clip_norm": float("nan")}, "clip_norm"),
        ({"weight_decay": -0.1}, "weight_decay"),
        ({"weight_decay": float("nan")}, "weight_decay"),
        ({"n_threads": 0}, "n_threads"),
        ({"seed": -1}, "seed"),
        ({"patience": 3}, "validation"),
        ({"patience": -1, "validation": problem()}, "patience"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options, named):
    net = network()
    with pytest.raises(OptionError, match=rf"\b{named}\b"):
        net.fit(*problem(), **options)
    assert weights(net) == weights(network())


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((np.full((4, 6, 2), np.nan), np.zeros((4, 1))), "finite"),
        ((np.zeros((4, 6, 3)), np.zeros((4, 1))), r"\(4, 6, 3\)"),
        ((np.zeros((4, 6, 2)), np.zeros((5, 1))), r"\(5, 1\)"),
    ],
)
def test_bad_validation_data_is_refused(validation, message):
    with pytest.raises(TrendLSTMError, match=rf"validation.*{message}"):
        network().fit(*problem(), validation=validation)


@contextlib.contextmanager
def peak_memory(peaks):
    """Append to `peaks` the bytes by which the process grew at most inside the block."""

    def kilobytes(field):
        return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])

    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before = kilobytes("VmRSS")
    yield
    peaks.append((kilobytes("VmHWM") - before) * 1024)


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak memory"
)
def test_memory_does_not_grow_with_the_number_of_samples():
    """T = 5,000: one array of a state of every sample and step would take N x 5,000 x 16 x 4 bytes."""
    T, H, few, many = 5000, 16, 16, 128
    rng = np.random.default_rng(0)
    net = tl.Network(hidden_size=H, dense=())
    x, y = rng.normal(size=(many, T, 1)).astype(np.float32), np.zeros((many, 1), np.float32)
    peaks = []
    for N in (few, few, many):  # the first one also pays for what is allocated once
        with peak_memory(peaks):
            net.fit(x[:N], y[:N], epochs=1, batch_size=N, n_threads=2)
    one_array = (many - few) * T * H * 4
    assert peaks[2] - peaks[1] < one_array / 2


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak memory"
)
@pytest.mark.parametrize("samples", [800, 20_000])
def test_peak_memory_of_the_reference_model(samples):
    """At most twice the inputs and 64 MiB, the inputs themselves included, at T = 60."""
    x = np.random.default_rng(0).normal(size=(samples, 60, 1)).astype(np.float32)
    y, net = x[:, -1], tl.Network()
    net.fit(x[:8], y[:8], epochs=1)  # loads the kernels
    peaks = []
    with peak_memory(peaks):
        net.fit(x, y, epochs=1, n_threads=4)
    assert peaks[0] + x.nbytes + y.nbytes < 2 * (x.nbytes + y.nbytes) + 64 * 2**20


def test_an_epoch_allocates_nothing():
    """Three epochs take as many allocations of the compiled code as one."""
    x, y = problem()
    net = network()
    net.fit(x, y, epochs=1, validation=(x, y), n_threads=1)
    allocated = []
    memory_statistics.memsys_enable_stats()
    try:
        for epochs in (1, 3):
            before = rtsys.get_allocation_stats().alloc
            net.fit(x, y, epochs=epochs, validation=(x, y), clip_norm=1.0, n_threads=1)
            allocated.append(rtsys.get_allocation_stats().alloc - before)
    finally:
        memory_statistics.memsys_disable_stats()
    assert allocated[0] == allocated[1]
