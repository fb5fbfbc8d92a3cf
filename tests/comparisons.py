"""Comparisons of small networks on random walks, and of stand-ins whose predictions and gradients are chosen."""

from dataclasses import replace

import numpy as np
from walks import random_walk, small_config

from trendlstm.config import CompareConfig
from trendlstm.data.frames import price_set
from trendlstm.nn.gradient_flow import GradientFlow
from trendlstm.nn.history import History
from trendlstm.workflows import compare as workflow

KINDS = [
    "LSTM, forget bias 0", "LSTM, forget bias 1", "LSTM, chrono", "LSTM 1997", "RNN, uniform", "RNN, glorot",
    "RNN, orthogonal",
]  # fmt: skip


def prepare(baselines=("rnn",), match="hidden", prices=None, **settings):
    """Windows and untrained networks, on a random walk."""
    config = CompareConfig(small_config(**settings), tuple(baselines), match)
    return workflow.prepare(config, price_set(random_walk() if prices is None else prices, config.train.data))


def compared(*arguments, **settings):
    """A finished comparison on a random walk."""
    prepared = prepare(*arguments, **settings)
    initial = workflow.measure_gradients(prepared)
    fits = workflow.train(prepared)
    return workflow.assess(prepared, initial, fits, workflow.measure_gradients(prepared))


class StandIn:
    """Has a network's settings and answers with chosen outputs for the test windows."""

    def __init__(self, network, outputs):
        self.config, self.num_params, self._outputs = network.config, network.num_params, outputs

    def predict(self, x, n_threads=None):
        return self._outputs


def stand_in_comparison(prepared, outputs, initial=None, trained=None):
    """A comparison of chosen predictions and chosen gradients.

    Parameters
    ----------
    prepared : Prepared
    outputs : dict of str to ndarray (n, m), or callable
        Scaled outputs of every network of a kind on the test windows, by the kind's key; or a function of the key.
    initial, trained : dict of str to sequence of float
        What is left of |dL/dh| at the longest lag, of every network of a kind; 0.1 where not given.
    """
    of = outputs if callable(outputs) else lambda key: outputs[key]
    variants = {
        variant.kind.key: replace(
            variant, networks=tuple(StandIn(network, of(variant.kind.key)) for network in variant.networks)
        )
        for variant in prepared.variants
    }
    models = {name: variant and variants[variant.kind.key] for name, variant in prepared.models.items()}
    prepared = replace(prepared, variants=tuple(variants.values()), models=models)
    history = History(np.ones(1), np.ones(1), 1, 1, 0.1, "epochs", np.ones(1))
    fits = workflow.Fits({key: [history] * len(one.networks) for key, one in variants.items()}, 0.0)
    return workflow.assess(
        prepared, chosen_gradients(prepared, initial or {}), fits, chosen_gradients(prepared, trained or {})
    )


def chosen_gradients(prepared, shares):
    """Gradient flows with these shares of |dL/dh| left, by the kind's key; a straight line from 1 to the share."""
    seeds, lag = prepared.config.train.seeds, prepared.windows.lag
    return workflow.Gradients(
        {
            variant.kind.key: [
                GradientFlow(np.linspace(1, share, lag), None, np.ones(lag), None, None)
                for share in shares.get(variant.kind.key, [0.1] * seeds)
            ]
            for variant in prepared.recurrent
        },
        0.0,
    )
