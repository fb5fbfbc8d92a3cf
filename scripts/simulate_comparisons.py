"""How often comparisons on random walks, where nobody can know anything, say a difference; small real networks.

    python scripts/simulate_comparisons.py [WALKS]

A random walk's returns do not depend on any forecast, so that the truth is known: of two forecasts the one with the
larger mean square of predicted changes has the larger expected error. Takes about a second a walk.
"""

import sys
from collections import Counter

import numpy as np
import pandas as pd

from trendlstm import Network, fit_many, make_windows
from trendlstm.evaluation.baselines import BASELINES
from trendlstm.evaluation.evidence import claim_p_value
from trendlstm.evaluation.metrics import evaluate
from trendlstm.evaluation.significance import LEVEL, differences, holm

CELLS = ("lstm", "rnn", "ann", "lstm1997")
ROWS, LAG, SEEDS = 1008, 10, 3


def closes(walk):
    """Predicted closes of the test rows by model, the last closes and the actual ones, on one driftless random walk."""
    returns = np.random.default_rng(walk).normal(0, 0.015, ROWS)
    prices = pd.DataFrame(
        {"Close": 50 * np.exp(np.cumsum(returns))}, pd.bdate_range("2015-01-05", periods=ROWS)
    )
    windows = make_windows(prices, LAG)
    train, validation, test = windows.splits
    networks = {
        cell: [Network(1, 8, (8,), cell=cell, lag=LAG, seed=1000 * walk + k) for k in range(SEEDS)]
        for cell in CELLS
    }
    fit_many(
        [network for group in networks.values() for network in group], train.x, train.y, epochs=40,
        validation=(validation.x, validation.y),
    )  # fmt: skip
    predicted = {name: baseline(windows)["test"] for name, baseline in BASELINES.items()}
    for cell, group in networks.items():
        outputs = np.mean([network.predict(test.x).astype(np.float64) for network in group], axis=0)
        predicted[cell] = windows.scaler.prices(outputs, test.anchors)
    return predicted, test.anchors, test.actual


def claims(predicted, anchors, actual):
    """What a comparison of these forecasts says, with and without Holm, and what of it is false."""
    measured = {name: evaluate(anchors, actual, one)[0] for name, one in predicted.items()}
    raw = [claim_p_value(measured[name], measured["drift"]) for name in (*CELLS, "ridge")]
    rivals = {name: predicted[name][:, 0] for name in ("rnn", "ann", "lstm1997", "drift", "ridge")}
    found = differences(actual[:, 0], predicted["lstm"][:, 0], rivals)
    noise = {name: np.mean(np.log(one[:, 0] / anchors) ** 2) for name, one in predicted.items()}
    adjusted = holm(raw)
    is_below = [name for name, one in found.items() if one.sign < 0]
    is_above = [name for name, one in found.items() if one.sign > 0]
    wrong = [name for name in is_below if noise["lstm"] >= noise[name]]
    wrong += [name for name in is_above if noise["lstm"] <= noise[name]]
    return {
        "some model has evidence, unadjusted": any(map(is_low, raw)),
        "some model has evidence": any(map(is_low, adjusted)),
        "the LSTM has evidence, and smaller errors than a rival": is_low(adjusted[0]) and bool(is_below),
        "Diebold-Mariano of the LSTM against a rival, one-sided, unadjusted": any(
            is_low(one.test.p_value) for one in found.values()
        ),
        "the LSTM's errors are said to be smaller than a rival's": bool(is_below),
        "the LSTM's errors are said to be larger than a rival's": bool(is_above),
        "one of these differences is false": bool(wrong),
    }


def is_low(p):
    """Whether a p-value is significant."""
    return p is not None and p < LEVEL


def main():
    walks = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    counted = Counter()
    for walk in range(walks):
        counted.update(claims(*closes(walk)))
    for said, times in counted.items():
        print(f"{100 * times / walks:5.2f} %  {said}")


if __name__ == "__main__":
    main()
