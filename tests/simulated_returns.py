"""Simulated daily log returns of the kinds that measures and bands must stand."""

import numpy as np

SIGMA = 0.015  # of a day, all processes but for their jumps and changes of regime
BURN_IN = 200  # days for GARCH to forget its start


def garch_t(random, series, days, alpha=0.08, beta=0.91, freedom=5, drift=0.0003):
    """GARCH(1, 1) with Student's t innovations: volatility clusters, tails are fat."""
    shocks = random.standard_t(freedom, (BURN_IN + days, series)) * np.sqrt((freedom - 2) / freedom)
    variance = np.ones(series)
    returns = np.empty((BURN_IN + days, series))
    for day, shock in enumerate(shocks):
        returns[day] = np.sqrt(variance) * shock
        variance = (1 - alpha - beta) + alpha * returns[day] ** 2 + beta * variance
    return drift + SIGMA * returns[BURN_IN:].T


def with_drift(random, series, days):
    """GARCH-t that gains 0.1 % a day."""
    return garch_t(random, series, days, drift=0.001)


def with_jumps(random, series, days):
    """GARCH-t and on one day in 100 a jump of some 5 %."""
    jumps = (random.random((series, days)) < 0.01) * random.normal(0, 0.05, (series, days))
    return garch_t(random, series, days) + jumps


def regime_change(random, series, days):
    """GARCH-t whose volatility doubles or halves for good on one day, each series on its own."""
    change = random.integers(days // 10, days, (series, 1))
    factor = random.choice([0.5, 2.0], (series, 1))
    return garch_t(random, series, days) * np.where(np.arange(days) < change, 1, factor)


def normal(random, series, days):
    """A random walk."""
    return random.normal(0.0003, SIGMA, (series, days))


def autoregressive(random, series, days, rho):
    """Each return is rho times the last one and a normal shock; rho^2 of the variance can be forecast."""
    shocks = random.normal(0, SIGMA * np.sqrt(1 - rho**2), (days, series))
    returns = np.empty((days, series))
    last = random.normal(0, SIGMA, series)
    for day, shock in enumerate(shocks):
        last = returns[day] = rho * last + shock
    return returns.T


def with_common_factor(returns, common):
    """Returns (..., tickers, days) of which the first, the market, makes a share of the variance of all others."""
    return np.sqrt(common) * returns[..., :1, :] + np.sqrt(1 - common) * returns[..., 1:, :]


# name: function of (random, series, days), which returns an array (series, days)
PROCESSES = {
    "normal": normal,
    "GARCH-t": garch_t,
    "drift": with_drift,
    "jumps": with_jumps,
    "regime change": regime_change,
}
