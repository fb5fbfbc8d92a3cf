"""Fits as plain arrays: they can be sent elsewhere, and only one at a time trains a network's weights."""

import copy
import dataclasses
import inspect
import pickle
import re
import threading

import numpy as np
import pytest

import trendlstm as tl
from trendlstm.config import FitConfig
from trendlstm.errors import OptionError, TrainingError
from trendlstm.nn.training import train

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(40, 5, 1)), RNG.normal(size=(40, 1))
VALIDATION = X[:11], -Y[:11]


def network(**options):
    return tl.Network(hidden_size=5, dense=(3,), seed=4, **options)


def weights(net):
    return b"".join(value.tobytes() for value in net.state_dict().values())


@pytest.mark.parametrize("function", [tl.Network.fit, tl.fit_many])
def test_every_setting_of_a_fit_is_a_keyword_with_its_default_and_documented(function):
    signature = inspect.signature(function)
    for field in dataclasses.fields(FitConfig):
        keyword = signature.parameters[field.name]
        assert (keyword.kind, keyword.default) == (keyword.KEYWORD_ONLY, field.default)
        assert re.search(rf"^    .*\b{field.name}\b", function.__doc__, re.MULTILINE)
    assert not [one for one in signature.parameters.values() if one.kind == one.VAR_KEYWORD]


@pytest.mark.parametrize("cell", ["lstm", "ann"])
def test_a_pickled_job_is_trained_to_the_bits_of_a_fit(cell):
    """What comes back are the job's weights; the network of this process is not touched by it."""
    net, fitted = network(cell=cell, lag=5), network(cell=cell, lag=5)
    expected = fitted.fit(X, Y, epochs=6, learning_rate=0.01, clip_norm=0.1, validation=VALIDATION)
    config = FitConfig(epochs=6, learning_rate=0.01, clip_norm=0.1)
    job = pickle.loads(pickle.dumps(net.fit_job(X, Y, config, validation=VALIDATION)))
    (history,) = train([job], n_threads=2)
    assert weights(net) == weights(network(cell=cell, lag=5))
    back = pickle.loads(pickle.dumps(job))
    net.theta[:] = back.theta
    assert weights(net) == weights(fitted)
    assert back.history().validation_loss.tobytes() == expected.validation_loss.tobytes()
    assert repr(history).split(" s;")[1] == repr(expected).split(" s;")[1]


def test_to_train_a_job_is_to_train_its_network():
    net, fitted = network(), network()
    fitted.fit(X, Y, epochs=3)
    job = net.fit_job(X, Y, FitConfig(epochs=3))
    assert weights(net) == weights(network())
    train([job])
    assert weights(net) == weights(fitted)


def test_a_job_can_be_trained_again_alone_or_among_others():
    net, fitted = network(), network()
    job, others = net.fit_job(X, Y, FitConfig(epochs=3)), [network().fit_job(X, Y, FitConfig(epochs=2))]
    for jobs in ([job], [job, *others], [*others, job]):
        train(jobs)
        fitted.fit(X, Y, epochs=3)
        assert weights(net) == weights(fitted)


def test_a_job_starts_from_the_weights_that_its_network_has_when_it_is_trained():
    net, fitted = network(), network()
    job = net.fit_job(X, Y, FitConfig(epochs=1, learning_rate=1e39))
    net.fit(X, Y, epochs=3)
    with pytest.raises(TrainingError):
        train([job])
    fitted.fit(X, Y, epochs=3)
    assert weights(net) == weights(fitted)


@pytest.mark.parametrize(
    "second",
    [
        lambda net: net.fit(X, Y, epochs=1),
        lambda net: tl.fit_many([network(), net], X, Y, epochs=1),
        lambda net: tl.fit_many([net], X, Y, epochs=1),
    ],
)
def test_a_network_that_is_being_trained_is_refused_to_others(second):
    net, alone = network(), network()
    running, refused = threading.Event(), threading.Event()

    def hold(progress):
        running.set()
        assert refused.wait(60)

    first = threading.Thread(target=lambda: net.fit(X, Y, epochs=4, progress=hold))
    first.start()
    assert running.wait(60)
    with pytest.raises(OptionError, match="being trained by another fit"):
        second(net)
    copied = copy.deepcopy(net)
    copied.fit(X, Y, epochs=4)
    other = network()
    other.fit(X, Y, epochs=4)  # of equal shape, but not the same
    refused.set()
    first.join()
    alone.fit(X, Y, epochs=4)
    assert weights(net) == weights(alone) == weights(other) == weights(copied)
    second(net)  # the first has ended
    assert weights(net) != weights(alone)


def test_a_network_can_be_trained_again_after_a_failure():
    net = network()
    for _ in range(2):
        with pytest.raises(TrainingError):
            net.fit(X, Y, epochs=2, learning_rate=1e39)
        with pytest.raises(ZeroDivisionError):
            net.fit(X, Y, epochs=2, progress=lambda progress: 1 / 0)
    net.fit(X, Y, epochs=1)


def test_no_networks_are_trained_to_no_histories():
    assert tl.fit_many([], [], [], progress=lambda progress: 1 / 0) == []
