"""Simulated prices for tests."""

import numpy as np
import pandas as pd


def walk(rows=260, seed=0, volatility=0.01, opens=False):
    """A geometric random walk of closes on weekdays; with `opens` also Open, somewhere on the way."""
    rng = np.random.default_rng(seed)
    returns = volatility * rng.standard_normal(rows)
    close = 100 * np.exp(np.cumsum(returns))
    index = pd.bdate_range("2020-01-01", periods=rows, name="Date")
    frame = pd.DataFrame({"Close": close}, index=index)
    if opens:
        frame.insert(0, "Open", close * np.exp(-rng.random(rows) * returns))
    return frame
