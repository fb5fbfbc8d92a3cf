"""What pooled tests claim and find among tickers that move together, and how fast adaptive bands should follow.

Run as `python scripts/simulate_walks.py`; takes about three minutes. docs/measures.md and docs/bands.md quote what it
prints.
"""

import sys
from pathlib import Path

import numpy as np

from trendlstm.evaluation.evidence import claims_evidence, detectable_skill
from trendlstm.evaluation.intervals import NOMINAL, recent_volatility
from trendlstm.evaluation.metrics import wilson_interval
from trendlstm.evaluation.panel import TickerForecasts, measure_pooled
from trendlstm.evaluation.significance import LEVEL
from trendlstm.evaluation.walk_bands import walk_bands

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from simulated_returns import PROCESSES, autoregressive, with_common_factor

TRAINING, DAYS = 500, 252
PANELS, TICKERS, COMMON = 800, 10, 0.4  # share of the variance that is common to all tickers
SERIES, REFIT, SCORES = 100, 21, 100


def walks(returns: np.ndarray, forecasts: np.ndarray) -> list[TickerForecasts]:
    """One step ahead, over the last days of (tickers, days); forecasts (tickers, DAYS) are log returns."""
    close = 50 * np.exp(np.cumsum(returns, axis=1))
    dates = np.datetime64("2020-01-01") + np.arange(DAYS)
    return [
        TickerForecasts(
            dates, c[-DAYS - 1 : -1], c[-DAYS:, None], (c[-DAYS - 1 : -1] * np.exp(f))[:, None], np.ones(1)
        )
        for c, f in zip(close, forecasts, strict=True)
    ]


def regression(returns: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forecasts by a regression on the last return `last` that is fitted on the training days, and by drift."""
    x, y = last[:, :TRAINING], returns[:, 1 : TRAINING + 1]
    mean_x, mean_y = x.mean(axis=1, keepdims=True), y.mean(axis=1, keepdims=True)
    slope = np.sum((x - mean_x) * (y - mean_y), axis=1, keepdims=True) / np.sum(
        (x - mean_x) ** 2, axis=1, keepdims=True
    )
    return mean_y + slope * (last[:, TRAINING:-1] - mean_x), np.repeat(mean_y, DAYS, axis=1)


def show_claims() -> None:
    """How often evidence is claimed of a pool where nothing can be known."""
    print(f"Evidence claimed, % of {PANELS} panels of {TICKERS} tickers, {DAYS} days; [95 % interval]\n")
    print("| nothing to find | forecast by | DM | CW | Corr. | the rule |\n|---|---|---|---|---|---|")
    for name in ("normal", "drift", "GARCH-t", "jumps"):
        series = PROCESSES[name](np.random.default_rng(99), PANELS * (TICKERS + 1), TRAINING + DAYS + 1)
        panels = with_common_factor(series.reshape(PANELS, TICKERS + 1, -1), COMMON)
        for forecast in ("the market", "the ticker"):
            claims = []
            for returns in panels:
                last = (
                    np.broadcast_to(returns.mean(axis=0), returns.shape)
                    if forecast == "the market"
                    else returns
                )
                model, drift = (
                    measure_pooled(walks(returns, one))[0].measured for one in regression(returns, last)
                )
                tests = (model.diebold_mariano, model.clark_west, model.correlation.test)
                claims.append([*(test.p_value < LEVEL for test in tests), claims_evidence(model, drift)])
            rates = [f"{100 * rate:.1f}" for rate in np.mean(claims, axis=0)]
            low, high = wilson_interval(np.sum(claims, axis=0)[-1], PANELS)
            rates[-1] = f"**{rates[-1]}** [{100 * low:.1f}, {100 * high:.1f}]"
            print(f"| {name} | {forecast} |", " | ".join(rates), "|", flush=True)


def show_power(panels: int = 400) -> None:
    """Whether a pool finds the skill that as many days of one ticker find as it is worth."""
    print(
        f"\n{panels} panels of AR(1) tickers, {DAYS} days, each with the skill of what it is worth in theory\n"
    )
    print("| tickers | common share of the variance | worth, days | found, % |\n|---|---|---|---|")
    for tickers, common in ((4, 0.0), (4, 0.4), (20, 0.0), (20, 0.4), (20, 0.9), (100, 0.3)):
        # two tickers' d = 2 r f are correlated as the square of their returns
        worth = DAYS * tickers / (1 + (tickers - 1) * common**2)
        rho = np.sqrt(1 - (1 - detectable_skill(round(worth))) ** 2)
        random, found, effective = np.random.default_rng(1), [], []
        for _ in range(panels):
            returns = with_common_factor(autoregressive(random, tickers + 1, DAYS + 1, rho), common)
            best, flat = (
                measure_pooled(walks(returns, factor * returns[:, :-1]))[0] for factor in (rho, 0.0)
            )
            found.append(claims_evidence(best.measured, flat.measured))
            effective.append(best.effective_n)
        print(
            f"| {tickers} | {common:g} | {np.median(effective):,.0f} | {100 * np.mean(found):.0f} |",
            flush=True,
        )


def show_speeds() -> None:
    """Coverage and Winkler score of adaptive bands by gamma, where scores are right and where they mislead."""
    speeds = (0.0, 0.005, 0.01, 0.02, 0.05)
    print(f"\nBands of {SERIES} series, {DAYS} days, refitted every {REFIT} days on scores of {SCORES} days:")
    print(
        "coverage % (standard deviation over the series) [Winkler score, endless bands as five times the largest"
    )
    print("score]\n")
    print("|", f"{DAYS} days | split |", " | ".join(f"gamma = {gamma}" for gamma in speeds[1:]), "|")
    print("|---" * (len(speeds) + 1) + "|")
    for name, step, factor in (
        ("GARCH-t", 1, 1.0),
        ("regime change", 1, 1.0),
        ("normal", 1, 0.8),
        ("GARCH-t", 1, 1.3),
        ("GARCH-t", 5, 1.0),
        ("normal", 5, 0.8),
    ):
        found = np.array([judge(returns, step, factor, speeds) for returns in simulated(name)])
        cells = [
            f"{100 * covered.mean():.1f} ({100 * covered.std():.1f}) [{score.mean():.2f}]"
            for covered, score in np.moveaxis(found, 0, -1)
        ]
        scores = "" if factor == 1 else f", scores times {factor}"
        print(f"| {name}, step {step}{scores} |", " | ".join(cells), "|", flush=True)


def simulated(name: str) -> np.ndarray:
    return PROCESSES[name](np.random.default_rng(1), SERIES, TRAINING + SCORES + DAYS + 10)


def judge(
    returns: np.ndarray, step: int, factor: float, speeds: tuple[float, ...]
) -> list[tuple[float, float]]:
    """Coverage and Winkler score of one series for each gamma."""
    log_close = np.cumsum(returns)
    first = len(returns) - step - DAYS
    origins = np.arange(first - step - SCORES, len(returns) - step)
    volatility = recent_volatility(np.exp(log_close))[origins]
    change = log_close[origins + step] - log_close[origins]
    errors = np.abs(change - step * returns[:TRAINING].mean()) / volatility
    walk = np.arange(len(origins) - DAYS, len(origins))
    folds = [factor * errors[start - step - SCORES + 1 : start - step + 1] for start in walk[::REFIT]]
    scores = [folds[index // REFIT] for index in range(DAYS)]
    found = []
    for gamma in speeds:
        bands = walk_bands(scores, errors[walk], origins[walk], step, gamma).adaptive
        endless = 5 * max(fold.max() for fold in folds)
        width = np.clip(bands, 0, endless)
        missed = np.maximum(errors[walk] - width, 0)
        found.append((np.mean(errors[walk] <= bands), np.mean(2 * width + 2 / (1 - NOMINAL) * missed)))
    return found


if __name__ == "__main__":
    show_claims()
    show_power()
    show_speeds()
