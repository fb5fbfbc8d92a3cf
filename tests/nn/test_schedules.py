"""Learning-rate schedules, the warm-up and gradient descent with momentum, against the reference."""

import naive
import numpy as np
import pytest
from naive import assert_close

import trendlstm as tl
from trendlstm.config import FitConfig
from trendlstm.errors import OptionError
from trendlstm.nn.schedules import learning_rates
from trendlstm.nn.training import train

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(45, 4, 2)), RNG.normal(size=(45, 1))
VALIDATION = RNG.normal(size=(19, 4, 2)), RNG.normal(size=(19, 1))
SCHEDULES = {
    "constant": {},
    "cosine": {"schedule": "cosine"},
    "step": {"schedule": "step", "step_epochs": 3, "schedule_factor": 0.3},
    "plateau": {"schedule": "plateau", "plateau_patience": 2, "schedule_factor": 0.5},
}
OPTIONS = {"epochs": 9, "batch_size": 20, "learning_rate": 0.05}  # three steps an epoch


def network(dtype="float64", **options):
    return tl.Network(input_size=2, hidden_size=5, dense=(4,), dtype=dtype, seed=3, **options)


def weights(net):
    return b"".join(tensor.tobytes() for tensor in net.state_dict().values())


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("warmup", [0, 2])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_step_has_the_references_rate(schedule, optimizer, warmup, validated):
    net, settings = network(), OPTIONS | SCHEDULES[schedule] | {"optimizer": optimizer, "warmup": warmup}
    if optimizer == "sgd":
        settings |= {"momentum": 0.8, "learning_rate": 0.5}  # so much that the losses go up and down
    validation = VALIDATION if validated else None
    after_epoch, losses = naive.fit(net.state_dict(), X, Y, seed=3, validation=validation, **settings)
    history = net.fit(X, Y, validation=validation, **settings)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-9)
    kept = after_epoch[history.best_epoch - 1]
    for name, tensor in net.state_dict().items():
        assert_close(tensor, kept[name], 1e-9, name)
    watched = list(history.validation_loss if validated else history.loss)
    rest = SCHEDULES[schedule] | {"warmup": warmup}
    rates = [
        naive.scheduled_rate(3 * epoch, 3, 9, settings["learning_rate"], watched, **rest)
        for epoch in range(1, 10)
    ]
    np.testing.assert_allclose(history.learning_rate, rates, rtol=1e-12)
    if schedule == "plateau" and (optimizer == "sgd" or validated):
        assert history.learning_rate[-1] < settings["learning_rate"], "no plateau was reached"


@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.05, "weight_decay": 0.3}], ids=str)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
def test_momentum_is_the_references(dtype, rtol, momentum, options):
    net = network(dtype)
    settings = OPTIONS | options | {"optimizer": "sgd", "momentum": momentum, "schedule": "cosine"}
    start = {name: tensor.astype(float) for name, tensor in net.state_dict().items()}
    after_epoch, _ = naive.fit(start, X, Y, seed=3, **settings)
    net.fit(X, Y, **settings)
    for name, tensor in net.state_dict().items():
        assert_close(tensor, after_epoch[-1][name], rtol, name)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_same_bits_on_any_number_of_threads(schedule, optimizer):
    x, y = np.tile(X, (3, 1, 1)), np.tile(Y, (3, 1))
    settings = OPTIONS | SCHEDULES[schedule] | {"optimizer": optimizer, "warmup": 1, "validation": VALIDATION}
    results = set()
    for n_threads in (1, 2, 3):
        net = network("float32")
        history = net.fit(x, y, n_threads=n_threads, **(settings | {"batch_size": 40}))
        results.add(weights(net) + history.learning_rate.tobytes() + history.validation_loss.tobytes())
    together = [network("float32") for _ in range(2)]
    for net, history in zip(
        together, tl.fit_many(together, x, y, **(settings | {"batch_size": 40})), strict=True
    ):
        results.add(weights(net) + history.learning_rate.tobytes() + history.validation_loss.tobytes())
    assert len(results) == 1


def test_defaults_are_adam_at_a_constant_rate():
    plain, said = network(), network()
    history = plain.fit(X, Y, **OPTIONS)
    said.fit(X, Y, optimizer="adam", schedule="constant", warmup=0, **OPTIONS)
    assert weights(plain) == weights(said)
    assert history.learning_rate.tolist() == [0.05] * 9


def test_a_warm_up_ends_at_the_rate_itself():
    rates = learning_rates(FitConfig(epochs=5, learning_rate=0.3, warmup=3))
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.3, 0.3], rtol=1e-14)
    assert rates[2] == 0.3


def test_the_cosine_spends_no_epoch_on_a_rate_of_0():
    rates = learning_rates(FitConfig(epochs=40, learning_rate=0.2, schedule="cosine", warmup=4))
    assert (np.diff(rates[:4]) > 0).all() and (np.diff(rates[4:]) < 0).all() and rates.min() > 0
    assert rates[3] == rates[4] == rates.max() == 0.2


def test_a_plateau_leaves_patience_its_own_count():
    """The rate falls while early stopping waits; it ends the fit as many epochs after the best as ever."""
    net = network()
    history = net.fit(
        X,
        Y,
        epochs=500,
        batch_size=20,
        learning_rate=0.05,
        validation=VALIDATION,
        patience=7,
        schedule="plateau",
        plateau_patience=3,
    )
    assert history.stopped == "patience" and history.epochs_run == history.best_epoch + 7
    np.testing.assert_allclose(history.learning_rate[-1], history.learning_rate[history.best_epoch - 1] / 100)


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_rates_can_be_repeated_for_the_epochs_that_were_kept(schedule):
    """As a final fit does, without the validation that a plateau was found in, and with more steps an epoch."""
    settings = FitConfig(**OPTIONS, **SCHEDULES[schedule], warmup=2, optimizer="sgd")
    net = network()
    job = net.fit_job(X, Y, settings, validation=VALIDATION)
    (history,) = train([job])
    rates = history.learning_rate[:5].copy()
    x, y = np.concatenate([X, VALIDATION[0]]), np.concatenate([Y, VALIDATION[1]])
    again, expected = network(), network()
    job = again.fit_job(x, y, settings, repeated=rates)
    (repeated,) = train([job])
    assert repeated.epochs_run == 5 and repeated.stopped == "epochs"
    np.testing.assert_array_equal(repeated.learning_rate, rates)
    # by the reference's steps, at these rates
    params, sgd, n = expected.state_dict(), naive.SGD(expected.state_dict(), 0.0), 0
    for epoch in range(5):
        order = naive.shuffled(len(x), 3, epoch)
        for first in range(0, len(x), 20):
            n += 1
            sgd.learning_rate = 0.05 * n / 8 if n <= 8 else rates[epoch]  # two epochs of four steps
            rows = order[first : first + 20]
            params = sgd.step(params, naive.loss_and_gradients(params, x[rows], y[rows])[1])
    for name, tensor in again.state_dict().items():
        assert_close(tensor, params[name], 1e-9, name)


def test_a_plateau_does_not_change_rates_that_are_repeated():
    """Steps too small to change a weight: every epoch has the loss of the first."""
    settings = FitConfig(**OPTIONS, schedule="plateau", plateau_patience=1, shuffle=False, optimizer="sgd")
    repeated = np.full(4, 1e-30)
    (history,) = train([network().fit_job(X, Y, settings, repeated=repeated)])
    assert len(set(history.loss)) == 1
    np.testing.assert_array_equal(history.learning_rate, repeated)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "adamw"}, "optimizer must be one of adam, sgd, but is 'adamw'."),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, step, plateau, but is 'linear'."),
        (
            {"momentum": 0.9},
            "momentum belongs to optimizer 'sgd', but optimizer is 'adam': leave momentum out, ",
        ),
        ({"optimizer": "sgd", "momentum": 1}, "momentum must be a number from 0 up to below 1, but is 1."),
        (
            {"optimizer": "sgd", "momentum": -0.1},
            "momentum must be a number from 0 up to below 1, but is -0.1.",
        ),
        ({"optimizer": "sgd", "momentum": float("nan")}, "momentum must be"),
        ({"warmup": -1}, "warmup must be a whole number of epochs from 0 up to below epochs (9), but is -1."),
        ({"warmup": 9}, "warmup must be a whole number of epochs from 0 up to below epochs (9), but is 9."),
        ({"warmup": 1.5}, "warmup must be"),
        (
            {"schedule": "step"},
            "schedule 'step' needs step_epochs, after how many epochs the rate falls each time.",
        ),
        (
            {"schedule": "step", "step_epochs": 7, "warmup": 2},
            "from 1 up to below the 7 epochs after the warm-up",
        ),
        ({"schedule": "step", "step_epochs": 0}, "step_epochs must be"),
        ({"step_epochs": 3}, "step_epochs belongs to schedule 'step', but schedule is 'constant'"),
        ({"schedule": "step", "step_epochs": 3, "plateau_patience": 3}, "plateau_patience belongs to"),
        (
            {"schedule": "cosine", "schedule_factor": 0.5},
            "schedule_factor belongs to schedule 'step' or 'plateau'",
        ),
        (
            {"schedule": "plateau", "schedule_factor": 1.0},
            "schedule_factor must be a number above 0 and below 1",
        ),
        (
            {"schedule": "plateau", "schedule_factor": 0},
            "schedule_factor must be a number above 0 and below 1",
        ),
        (
            {"schedule": "plateau", "plateau_patience": 0},
            "plateau_patience must be a whole number of epochs from 1",
        ),
        (
            {"schedule": "plateau", "patience": 10},
            "plateau_patience (10) must be below patience (10), or the fit ends before",
        ),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_in_a_sentence(options, message):
    net = network()
    with pytest.raises(OptionError) as raised:
        net.fit(X, Y, validation=VALIDATION, **(OPTIONS | options))
    assert str(raised.value).startswith(message) or message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert weights(net) == weights(network())


@pytest.mark.parametrize("options", [*SCHEDULES.values(), {"optimizer": "sgd"}], ids=str)
def test_settings_go_to_json_and_back(options):
    config = FitConfig(epochs=9, **options)
    assert FitConfig.from_dict(config.to_dict()) == config
    assert (config.momentum == 0.9) == ("optimizer" in options)
