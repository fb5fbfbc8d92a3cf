"""Fits on the GPU (or in its simulator) against the reference in naive.py, against the CPU, and their promises."""

import naive
import numpy as np
import pytest
from naive import assert_close

import trendlstm as tl
from trendlstm.config import FitConfig
from trendlstm.cuda.buffers import make_spec
from trendlstm.cuda.compile import SIMULATED
from trendlstm.errors import FitInterrupted, OptionError, TrainingError
from trendlstm.kernels.equations import BETA1
from trendlstm.nn import gpu as driver
from trendlstm.nn.parameters import named_values

CELLS = ["lstm", "lstm1997", "rnn"]
RTOL = {"float64": 1e-9, "float32": 1e-4}


def network(cell="lstm", dtype="float32", T=3, F=2, H=5, dense=(4,), m=1, **options):
    """A network whose biases are not 0 either."""
    net = tl.Network(
        input_size=F, hidden_size=H, dense=dense, output_size=m, cell=cell, dtype=dtype, **options
    )
    bias = options.get("bias", True)
    net.load_state_dict(naive.random_params(np.random.default_rng(42), cell, T, F, H, dense, m, bias))
    return net


def problem(N=11, T=3, F=2, m=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, T, F))
    return x, x[:, -1, :1] - 0.5 * x[:, 0, :1] + 0.3 * rng.normal(size=(N, m))


def reference(net):
    return {name: tensor.astype(np.float64) for name, tensor in net.state_dict().items()}


def weights(net):
    return b"".join(tensor.tobytes() for tensor in net.state_dict().values())


def one_step(net, x, y, lengths=None):
    """The loss and the gradient of one minibatch, as Adam's first moment has it after its first step."""
    job = net.fit_job(x, y, FitConfig(epochs=1, batch_size=len(x), shuffle=False), lengths=lengths)
    fits = driver.GpuFits(make_spec(job.plan, net.dtype), [job])
    fits.run(lambda: None)
    moment = fits.networks.first_moment.copy_to_host()[0]
    return job.loss[0], {
        name: value / (1 - BETA1) for name, value in named_values(net.config, moment).items()
    }


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("N", "shape", "padded"),
    [
        (1, {"T": 1, "F": 1, "H": 1, "dense": (), "m": 1}, False),
        (9, {"T": 3, "F": 3, "H": 5, "dense": (4, 3), "m": 2}, True),
        (17, {"T": 4, "F": 2, "H": 17, "dense": (18,), "m": 17, "bias": False}, False),
    ],
    ids=["smallest", "odd sizes and lengths", "two vectors wide, no bias"],
)
def test_every_gradient_is_the_references(N, shape, padded, cell, dtype):
    rng = np.random.default_rng(N)
    net = network(cell, dtype, **shape)
    x = rng.uniform(-1.5, 1.5, (N, shape["T"], shape["F"])).astype(dtype)
    y = (rng.normal(size=(N, shape["m"])) + 5).astype(dtype)
    options = {"lengths": rng.integers(1, shape["T"], N, endpoint=True)} if padded else {}
    expected_loss, expected = naive.loss_and_gradients(
        reference(net), x.astype(float), y.astype(float), cell, **options
    )
    outputs = net.predict(x, device="cuda", **options)
    assert_close(
        outputs, naive.predict(reference(net), x.astype(float), cell, **options), RTOL[dtype], "outputs"
    )
    loss, gradients = one_step(net, x, y, options.get("lengths"))
    assert loss == pytest.approx(expected_loss, rel=RTOL[dtype])
    assert list(gradients) == list(expected)[: len(gradients)] or set(gradients) <= set(expected)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], RTOL[dtype], name)


@pytest.mark.parametrize("cell", ["lstm", "lstm1997"])
def test_gradients_without_output_squashing(cell):
    net = network(cell, "float64", squash_output=False)
    x, y = problem(9)
    _, expected = naive.loss_and_gradients(reference(net), x, y, cell, squash_output=False)
    _, gradients = one_step(net, x, y)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], 1e-9, name)


WIDE = [
    ("lstm", 64, "float32", 1),
    ("lstm1997", 48, "float32", 16),
    ("rnn", 80, "float32", 3),
    ("lstm", 80, "float32", 1),
]
WIDEST = [("lstm", 256, "float32", 16), ("lstm", 256, "float64", 16), ("rnn", 256, "float64", 1)]


@pytest.mark.parametrize(("cell", "H", "dtype", "F"), WIDE if SIMULATED else WIDE + WIDEST)
def test_gradients_of_wide_layers(cell, H, dtype, F):
    T, N = (2, 9) if SIMULATED else (30, 70)
    rng = np.random.default_rng(H)
    net = network(cell, dtype, T=T, F=F, H=H)
    x, y = rng.normal(size=(N, T, F)).astype(dtype), (rng.normal(size=(N, 1)) + 5).astype(dtype)
    _, expected = naive.loss_and_gradients(reference(net), x.astype(float), y.astype(float), cell)
    _, gradients = one_step(net, x, y)
    for name, gradient in gradients.items():
        assert_close(gradient, expected[name], RTOL[dtype], name)


# ------------------------------------------------------------------------------------------------ Adam steps


@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("lstm", {"shuffle": False}),
        ("lstm", {"seed": 2**63 - 1}),
        ("lstm1997", {"clip_norm": 0.05, "weight_decay": 0.3, "learning_rate": 0.05}),
        ("rnn", {"batch_size": 100, "epochs": 10}),
    ],
    ids=str,
)
def test_ten_adam_steps_are_the_references(cell, options):
    """Five epochs of minibatches of 7 and 4, a batch that is no multiple of a chunk's rows."""
    x, y = problem()
    net = network(cell, "float64", seed=11)
    settings = {"epochs": 5, "batch_size": 7, "learning_rate": 0.01, "seed": 11} | options
    after_epoch, losses = naive.fit(reference(net), x, y, cell, **settings)
    history = net.fit(x, y, device="cuda", **settings)
    assert history.stopped == "epochs"
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], 1e-9, name)


def test_float32_losses_are_the_cpus():
    x, y = problem(13)
    ours, cpus = network(), network()
    options = {"epochs": 5, "batch_size": 7, "validation": problem(9, seed=1), "clip_norm": 1.0}
    ours, history = ours, ours.fit(x, y, device="cuda", **options)
    expected = cpus.fit(x, y, **options)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-4)
    np.testing.assert_allclose(history.validation_loss, expected.validation_loss, rtol=1e-4)
    for name, tensor in ours.state_dict().items():
        assert_close(tensor, cpus.state_dict()[name], 1e-4, name)


def test_sequences_of_different_lengths():
    x, y = problem()
    lengths = np.random.default_rng(1).integers(1, 3, len(x), endpoint=True)
    net = network(dtype="float64")
    after_epoch, losses = naive.fit(reference(net), x, y, epochs=2, batch_size=8, lengths=lengths)
    history = net.fit(x, y, epochs=2, batch_size=8, lengths=lengths, device="cuda")
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    assert_close(net.state_dict()["recurrent.weight_hh"], after_epoch[-1]["recurrent.weight_hh"], 1e-9)


# ------------------------------------------------------------------------------- early stopping, best weights


def overfitting():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(24, 2, 2)), rng.normal(size=(24, 1))
    return (x[:12], y[:12]), (x[12:], y[12:])


@pytest.mark.parametrize("patience", [None, 2])
def test_best_weights_and_patience_are_the_cpus(patience):
    (x, y), validation = overfitting()
    options = {"epochs": 8, "batch_size": 12, "learning_rate": 0.05, "patience": patience}
    options["validation"] = validation
    ours, cpus = network(dtype="float64"), network(dtype="float64")
    expected = cpus.fit(x, y, **options)
    assert 1 < expected.best_epoch < expected.epochs_run, "the problem must overfit to test anything"
    history = ours.fit(x, y, device="cuda", **options)
    for what in ("best_epoch", "epochs_run", "stopped"):
        assert getattr(history, what) == getattr(expected, what)
    np.testing.assert_allclose(history.loss, expected.loss, rtol=1e-9)
    np.testing.assert_allclose(history.validation_loss, expected.validation_loss, rtol=1e-9)
    for name, tensor in ours.state_dict().items():
        assert_close(tensor, cpus.state_dict()[name], 1e-9, name)


def test_ties_keep_the_earlier_weights():
    """All ReLUs are off for good and the output is the last bias: the losses stay the same, the weights decay."""
    x, _ = problem()
    y = np.full((len(x), 1), 0.25)
    net, one_epoch = network(), network()
    for each in (net, one_epoch):
        state = each.state_dict()
        state["dense.0.bias"][:] = -1e6
        state["dense.1.bias"][:] = 0.25
        each.load_state_dict(state)
    history = net.fit(x, y, epochs=3, weight_decay=0.5, validation=(x, y + 1), device="cuda")
    assert history.best_epoch == 1
    one_epoch.fit(x, y, epochs=1, weight_decay=0.5, device="cuda")
    assert weights(net) == weights(one_epoch)


# -------------------------------------------------------------------------------------------- clean stops


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the simulator's scalars
@pytest.mark.parametrize("batch_size", [4, 100])
@pytest.mark.parametrize("validated", [False, True])
def test_a_loss_that_is_not_finite_stops_as_on_the_cpu(batch_size, validated):
    """A decay of 1 - lr * decay = -9 a step makes the weights grow ninefold until the loss overflows."""
    x, y = problem()
    options = {"epochs": 30, "batch_size": batch_size, "learning_rate": 1.0, "weight_decay": 10.0}
    if validated:
        options["validation"] = problem(seed=1)
    ours, cpus = network(), network()
    with pytest.raises(TrainingError) as expected:
        cpus.fit(x, y, **options)
    with pytest.raises(TrainingError) as raised:
        ours.fit(x, y, device="cuda", **options)
    assert str(raised.value) == str(expected.value)
    ours_history, cpus_history = raised.value.histories[0], expected.value.histories[0]
    assert ours_history.epochs_run == cpus_history.epochs_run > 1
    assert ours_history.best_epoch == cpus_history.best_epoch
    for name, tensor in ours.state_dict().items():
        assert_close(tensor, cpus.state_dict()[name], 1e-4, name)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_whose_own_loss_is_not_finite_are_not_kept():
    """After one huge step the weights are finite, but the next epoch's first loss, which is theirs, is not."""
    x, y = problem()
    options = {"epochs": 5, "batch_size": 100, "learning_rate": 1e13}
    ours, cpus = network(dense=(8, 8)), network(dense=(8, 8))
    before = weights(ours)
    with pytest.raises(TrainingError) as expected:
        cpus.fit(x, y, **options)
    with pytest.raises(TrainingError) as raised:
        ours.fit(x, y, device="cuda", **options)
    history = raised.value.histories[0]
    assert (history.epochs_run, history.best_epoch) == (1, 0)
    assert str(raised.value) == str(expected.value)
    assert weights(ours) == before


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_weights_that_overflow_in_the_very_last_step_are_not_kept():
    x, y = problem()
    net = network()
    before = weights(net)
    with pytest.raises(TrainingError, match=r"\bepoch 1\b"):
        net.fit(x, y, epochs=1, batch_size=100, learning_rate=1e39, device="cuda")
    assert weights(net) == before


@pytest.fixture
def short_launches(monkeypatch):
    """Every launch does one chunk."""
    monkeypatch.setattr(driver, "_LAUNCH_NANOSECONDS", 1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("nanoseconds", [1, 70_000, 200_000])
def test_launches_of_any_length_give_the_same_bits(nanoseconds, dtype, monkeypatch):
    x, y = problem(19)
    options = FitConfig(epochs=3, batch_size=11, clip_norm=0.1, patience=2)
    results = set()
    for launch in (nanoseconds, 10**12):
        monkeypatch.setattr(driver, "_LAUNCH_NANOSECONDS", launch)
        net = network(dtype=dtype)
        job = net.fit_job(x, y, options, validation=problem(9, seed=1))
        driver.GpuFits(make_spec(job.plan, net.dtype), [job]).run(lambda: None)
        results.add(
            (job.theta.tobytes(), job.loss.tobytes(), job.validation_loss.tobytes(), job.progress.tobytes())
        )
    assert len(results) == 1


@pytest.mark.skipif(not SIMULATED, reason="a GPU's threads run in no order that a test could choose")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS)
def test_the_order_in_which_threads_run_changes_no_bit(cell, dtype):
    """Otherwise one reads what another writes with no barrier in between: a race."""
    from simulator import take_turns

    x, y = problem(9)
    options = {"epochs": 2, "batch_size": 8, "clip_norm": 0.1, "weight_decay": 0.1}
    shuffled = np.random.default_rng(0).permutation
    results = set()
    for order in (list, reversed, lambda threads: [threads[place] for place in shuffled(len(threads))]):
        take_turns(order)
        net = network(cell, dtype)
        net.fit(x, y, validation=problem(9, seed=1), device="cuda", **options)
        results.add(weights(net) + net.predict(x, device="cuda").tobytes())
    assert len(results) == 1


def test_ctrl_c_between_launches_keeps_the_best_weights(short_launches):
    x, y = problem()
    stopped, whole = network(), network()

    def interrupt(progress):
        if progress.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(FitInterrupted) as interrupted:
        stopped.fit(x, y, epochs=50, batch_size=11, device="cuda", progress=interrupt)
    history = interrupted.value.histories[0]
    assert (history.epochs_run, history.best_epoch, history.stopped) == (2, 2, "interrupted")
    whole.fit(x, y, epochs=2, batch_size=11, device="cuda")
    assert weights(stopped) == weights(whole)


# ---------------------------------------------------------------------------------------- many fits, prediction


def several():
    shapes = [{}, {"cell": "rnn"}, {}, {"H": 17}, {"dtype": "float64"}, {}]
    networks = [network(**shape, seed=seed) for seed, shape in enumerate(shapes)]
    problems = [problem(9 + seed, T=2 + seed % 2, seed=seed) for seed in range(len(shapes))]
    return networks, [x for x, _ in problems], [y for _, y in problems]


@pytest.mark.parametrize("short", [False, True])
def test_fit_many_is_each_fit_alone(short, request):
    """Networks of three specifications, three of one on two multiprocessors; samples and steps of their own."""
    if short:
        request.getfixturevalue("short_launches")
    networks, xs, ys = several()
    pairs = [None if index % 2 else (x[:5], y[:5]) for index, (x, y) in enumerate(zip(xs, ys, strict=True))]
    options = {"epochs": 2, "batch_size": 8, "device": "cuda"}
    reports = []
    histories = tl.fit_many(networks, xs, ys, validation=pairs, progress=reports.append, **options)
    assert reports[-1].epoch == reports[-1].epochs == 2 * len(networks)
    alone, _, _ = several()
    for net, other, x, y, pair, history in zip(networks, alone, xs, ys, pairs, histories, strict=True):
        expected = other.fit(x, y, validation=pair, **options)
        assert history.loss.tobytes() == expected.loss.tobytes()
        assert history.best_epoch == expected.best_epoch
        assert weights(net) == weights(other)


def test_shared_data_is_copied_once():
    x, y = (array.astype(np.float32) for array in problem())
    jobs = [network(seed=seed).fit_job(x, y, FitConfig(epochs=1), validation=(x, y)) for seed in range(3)]
    spec = make_spec(jobs[0].plan, x.dtype)
    table, data = driver._lay_out(spec, [(job.plan, job.train, job.validation) for job in jobs])
    assert data.x.size == x.size + 1
    assert len(set(table["train"]["x"])) == len(set(table["validation"]["x"])) == 1
    assert len(set(table["order"])) == 3


def test_weight_decay_of_networks_that_differ_inside_their_padding():
    """They are trained by one series of launches; each has weights of its own that decay."""
    x, y = problem(16)
    options = {"epochs": 1, "batch_size": 8, "weight_decay": 5.0, "learning_rate": 0.1}
    networks, alone = ([network(H=size, dense=(size,), dtype="float64") for size in (3, 7)] for _ in range(2))
    tl.fit_many(networks, x, y, device="cuda", **options)
    for net, other in zip(networks, alone, strict=True):
        other.fit(x, y, **options)
        for name, value in net.state_dict().items():
            assert_close(value, other.state_dict()[name], 1e-9, name)


def test_ctrl_c_while_a_launch_is_waited_for_keeps_weights_and_history_together(short_launches, monkeypatch):
    """It may come before the host has read what the launch did."""
    x, y = problem()
    net, whole = network(), network()
    read, reads = driver.GpuFits.read, iter(range(100))

    def interrupted_read(fits):
        if next(reads) == 9:  # the launch that ended the fifth epoch
            raise KeyboardInterrupt
        read(fits)

    monkeypatch.setattr(driver.GpuFits, "read", interrupted_read)
    with pytest.raises(FitInterrupted) as interrupted:
        net.fit(x, y, epochs=50, batch_size=len(x), device="cuda")
    monkeypatch.undo()
    epochs = interrupted.value.histories[0].epochs_run
    assert epochs == 5
    whole.fit(x, y, epochs=epochs, batch_size=len(x), device="cuda")
    assert weights(net) == weights(whole)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_fit_many_raises_when_one_loss_is_not_finite():
    networks, xs, ys = several()
    ys[4] = np.full_like(ys[4], 1e200)  # its square is beyond float64
    before = weights(networks[4])
    with pytest.raises(TrainingError, match=r"Network 4.*epoch 1"):
        tl.fit_many(networks, xs, ys, epochs=2, device="cuda")
    assert weights(networks[4]) == before


@pytest.mark.parametrize("N", [1, 8, 41])
def test_predictions_are_the_cpus(N):
    x, _ = problem(N)
    lengths = np.random.default_rng(2).integers(1, 3, N, endpoint=True)
    net = network(m=3)
    assert_close(net.predict(x, lengths, device="cuda"), net.predict(x, lengths), 1e-5)


# ---------------------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("shape", "limit"),
    [({"H": 257}, "256 hidden"), ({"T": 1201}, "1200 time"), ({"F": 17}, "16 features")],
)
def test_a_limit_is_named(shape, limit):
    x, y = problem(2, **{name: size for name, size in shape.items() if name != "H"})
    net = network(**shape)
    with pytest.raises(OptionError, match=limit):
        net.fit(x, y, device="cuda")
    with pytest.raises(OptionError, match=limit):
        net.predict(x, device="cuda")


def test_outputs_of_every_step_are_refused():
    x, y = problem()
    with pytest.raises(OptionError, match=r"last step's outputs only: use device 'cpu'"):
        network().predict(x, device="cuda", every_step=True)
    with pytest.raises(OptionError, match=r"last step's outputs only: use device 'cpu'"):
        network().fit(x, np.repeat(y[:, None], x.shape[1], axis=1), device="cuda")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "sgd"}, "trains with optimizer 'adam' only: use device 'cpu' for optimizer 'sgd'"),
        (
            {"schedule": "cosine"},
            "trains with schedule 'constant' only: use device 'cpu' for schedule 'cosine'",
        ),
        ({"warmup": 1}, "trains with warmup 0 only: use device 'cpu' for warmup 1"),
    ],
)
def test_other_ways_to_train_are_refused(options, message):
    x, y = problem()
    with pytest.raises(OptionError, match=message):
        network().fit(x, y, epochs=3, device="cuda", **options)


def test_the_rates_of_an_earlier_fit_say_for_how_many_epochs():
    """A final fit; its rates are the constant one."""
    x, y = problem()
    nets = network(), network()
    for net, options in zip(nets, ({}, {"device": "cuda"}), strict=True):
        history = net.fit(x, y, epochs=3, batch_size=7, **options)
        assert history.learning_rate.tolist() == [1e-3] * 3
    job = network().fit_job(x, y, FitConfig(epochs=9, batch_size=7), repeated=history.learning_rate)
    driver.GpuFits(make_spec(job.plan, np.dtype("float32")), [job]).run(lambda: None)
    assert job.epochs_run() == 3
    assert job.theta.tobytes() == nets[1].theta.tobytes()


def test_a_feed_forward_network_is_refused():
    x, y = problem()
    net = tl.Network(input_size=2, hidden_size=4, cell="ann", lag=3)
    with pytest.raises(OptionError, match="cpu"):
        net.fit(x, y, device="cuda")
