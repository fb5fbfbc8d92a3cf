"""How often the rule of evidence is wrong and what it finds: ridge and real networks on simulated prices.

Run as `python scripts/simulate_verdict.py`; takes about half an hour. docs/measures.md quotes what it prints.
"""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

import trendlstm as tl
from trendlstm.data.windows import Windows, make_windows
from trendlstm.evaluation.baselines import drift, ridge
from trendlstm.evaluation.evidence import claims_evidence, detectable_skill
from trendlstm.evaluation.metrics import StepMetrics, evaluate, wilson_interval
from trendlstm.evaluation.significance import LEVEL, diebold_mariano
from trendlstm.workflows.forecast import Forecaster

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from simulated_returns import PROCESSES, autoregressive

NULLS = {name: PROCESSES[name] for name in ("normal", "drift", "GARCH-t", "jumps")}
SIGNALS = {f"AR(1), {rho}": partial(autoregressive, rho=rho) for rho in (0.1, 0.2, 0.3)}
SERIES = {101: 1000, 250: 500, 1000: 200}  # test days: series of ten times as many rows
LAG = 5
# RMSE below persistence's, and these; the last is the package's own
RULES = ("DM of prices", "DM", "CW", "CW, RMSE < drift", "rule")


def simulated_windows(returns: np.ndarray) -> Windows:
    """The default split of prices with these log returns."""
    close = 50 * np.exp(np.cumsum(np.append(0, returns)))
    dates = pd.DatetimeIndex(pd.bdate_range("1970-01-01", periods=len(close)), name="Date")
    return make_windows(pd.DataFrame({"Close": close}, index=dates), lag=LAG)


def network_predictions(windows: list[Windows]) -> Iterator[np.ndarray]:
    """Test predictions of a small network for each, trained as `trendlstm train` does it."""
    networks = [tl.Network(1, 8, (8,), seed=seed) for seed in range(len(windows))]
    tl.fit_many(
        networks,
        [one.train.x for one in windows],
        [one.train.y for one in windows],
        validation=[(one.validation.x, one.validation.y) for one in windows],
        epochs=10,
        learning_rate=0.01,
    )
    for one, network in zip(windows, networks, strict=True):
        yield Forecaster((network,), one.scaler, one.lag, one.horizon, "").predict(
            one.test.x, one.test.anchors
        )


def dm_of_prices(windows: Windows, predicted: np.ndarray) -> float | None:
    """The p-value of Diebold-Mariano on squared errors of prices, the rule of version 0.1."""
    # a price enters as the exponential of itself, of which the test takes the logarithm; scaled, so that it exists
    scale = 1 / windows.test.actual.max()
    prices = (windows.test.actual[:, 0], predicted[:, 0], windows.test.anchors)
    return diebold_mariano(*(np.exp(scale * one) for one in prices)).p_value


def claims(windows: Windows, predicted: np.ndarray) -> list[bool]:
    """What each of `RULES` says."""
    test = windows.test
    step, baseline = (
        evaluate(test.anchors, test.actual, one)[0] for one in (predicted, drift(windows)["test"])
    )
    lower = step.skill is not None and step.skill > 0

    def below(p_value: float | None) -> bool:
        return lower and p_value is not None and p_value < LEVEL

    clark_west = below(step.clark_west.p_value)
    return [
        below(dm_of_prices(windows, predicted)),
        below(step.diebold_mariano.p_value),
        clark_west,
        clark_west and step.rmse < baseline.rmse,
        claims_evidence(step, baseline),
    ]


def show_claims() -> None:
    """Rates of claims on series without and with something to find."""
    print("Evidence claimed, % of series; [95 % interval]\n")
    print("| process | test days | series | forecast |", " | ".join(RULES), "|")
    print("|---|---|---|---|" + "---|" * len(RULES))
    for days, series in SERIES.items():
        for number, (name, process) in enumerate((NULLS | SIGNALS).items()):
            returns = process(np.random.default_rng([days, number]), series, 10 * days - 1)
            windows = [simulated_windows(one) for one in returns]
            for forecast, predictions in (
                ("ridge", (ridge(one)["test"] for one in windows)),
                ("network", network_predictions(windows)),
            ):
                claimed = np.array(list(map(claims, windows, predictions)))
                rates = [f"{100 * rate:.1f}" for rate in claimed.mean(axis=0)]
                low, high = wilson_interval(claimed[:, -1].sum(), series)
                rates[-1] += f" [{100 * low:.1f}, {100 * high:.1f}]"
                print(f"| {name} | {days:,} | {series:,} | {forecast} |", " | ".join(rates), "|", flush=True)


def optimal(returns: np.ndarray, rho: float) -> tuple[StepMetrics, StepMetrics]:
    """Step 1 of the best forecast of an AR(1) on all but the first return, and of no drift."""
    close = 50 * np.exp(np.cumsum(returns))
    origin, actual = close[:-1], close[1:, None]
    forecast = origin * np.exp(rho * returns[:-1])
    return tuple(evaluate(origin, actual, one[:, None])[0] for one in (forecast, origin))


def show_power(series: int = 4000) -> None:
    """How often the rule finds the skill that the verdict names."""
    print("\n| test days | true skill | R^2 | AR(1), rho | found, % |")
    print("|---|---|---|---|---|")
    for days in (50, 101, 250, 1000):
        skill = detectable_skill(days)
        explained = 1 - (1 - skill) ** 2
        rho = np.sqrt(explained)
        returns = autoregressive(np.random.default_rng(days), series, days + 1, rho)
        found = np.mean([claims_evidence(*optimal(one, rho)) for one in returns])
        print(
            f"| {days:,} | {100 * skill:.2f} % | {explained:.4f} | {rho:.3f} | {100 * found:.1f} |",
            flush=True,
        )


def show_correlation(series: int = 1000, days: int = 101) -> None:
    """Whether the correlation of changes tells a forecast from an echo."""
    print(f"\n| {days} test days | correlation, mean | p < 0.05, % |")
    print("|---|---|---|")
    random = np.random.default_rng(27)
    for name, rho in (("echo", None), ("AR(1), 0.1", 0.1), ("AR(1), 0.3", 0.3), ("AR(1), 0.5", 0.5)):
        found = []
        for returns in autoregressive(random, series, days + 1, rho or 0.0):
            close = 50 * np.exp(np.cumsum(returns))
            noise = random.normal(0, 0.002, days)  # an echo of the last close, but for some noise
            change = rho * returns[:-1] if rho else noise
            origin = close[:-1]
            found.append(evaluate(origin, close[1:, None], (origin * np.exp(change))[:, None])[0].correlation)
        significant = np.mean([one.test.p_value < LEVEL for one in found])
        print(
            f"| {name} | {np.mean([one.value for one in found]):+.3f} | {100 * significant:.1f} |", flush=True
        )


if __name__ == "__main__":
    show_power()
    show_correlation()
    print()
    show_claims()
