"""How much bands hold: on simulated series, of variants of their making, and of real networks on the sample's prices.

Run as `python scripts/simulate_bands.py`; takes about ten minutes. docs/bands.md quotes what it prints.
"""

import sys
from pathlib import Path

import numpy as np

from trendlstm.config import DataConfig, TrainConfig
from trendlstm.data.sources import find_prices, sample_tickers
from trendlstm.evaluation.intervals import (
    DECAY,
    NOMINAL,
    calibrate,
    conformal_rank,
    recent_volatility,
)
from trendlstm.workflows.train import assess, fit_networks, prepare

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from simulated_returns import PROCESSES, SIGMA

SERIES = 200
SESSIONS = 252  # a year
STEPS = (1, 5, 10)


def simulate(name: str, years: int) -> np.ndarray:
    """Logarithms of closes, (SERIES, rows)."""
    returns = PROCESSES[name](np.random.default_rng(1), SERIES, SESSIONS * years - 1)
    return np.cumsum(np.pad(returns, ((0, 0), (1, 0))), axis=1)


def forecast_errors(log_close: np.ndarray, step: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Errors of the log return, (SERIES, n) with NaN beyond the last row, and their origins' rows.

    The forecast is the mean return of the training rows; with noise of 0.8 its RMSE is some 28 % above persistence's.
    """
    rows = log_close.shape[1]
    first = round(0.8 * rows) - 1
    origins = np.arange(first, rows - 1)
    later = np.pad(log_close, ((0, 0), (0, step)), constant_values=np.nan)[:, origins + step]
    drift = step * (log_close[:, [first]] - log_close[:, [0]]) / first
    wrong = noise * SIGMA * np.random.default_rng(2).normal(size=(SERIES, len(origins)))
    return later - log_close[:, origins] - drift - wrong, origins


def show_coverage(years: int, noise: float) -> None:
    """Coverage of the package's bands on each process: mean and standard deviation over the series."""
    print(f"\n{years} years, {'noisy' if noise else 'drift'} forecast: mean coverage % over {SERIES} series")
    print("(standard deviation over the series; in how many % of them the interval holds 80 %)")
    for name in PROCESSES:
        log_close = simulate(name, years)
        volatility = np.array([recent_volatility(close) for close in np.exp(log_close)])
        cells = []
        for step in STEPS:
            errors, origins = forecast_errors(log_close, step, noise)
            scaled = np.abs(errors) / volatility[:, origins]
            first_test = round(0.9 * log_close.shape[1]) - 1
            bands = [calibrate(row, origins, first_test, step) for row in scaled]
            coverage = 100 * np.array([band.coverage for band in bands])
            right = 100 * np.mean([band.low <= NOMINAL <= band.high for band in bands])
            cells.append(f"step {step}: {coverage.mean():.1f} ({coverage.std():.1f}; {right:.0f})")
        print(f"  {name:14}", "   ".join(cells), flush=True)


def show_variants(years: int) -> None:
    """Coverage and Winkler score of other bands, means over all processes: which variant is narrow where it may be.

    The Winkler score of a band is its width plus 2 / 0.2 of what the price misses it by (in training sigmas): smaller
    is better.
    """
    print(f"\n{years} years, variants: mean coverage % (sd over series), Winkler score, over all processes")
    for errors_from in ("validation", "all known"):
        for sides in ("symmetric", "two-sided"):
            for decay in (None, 0.9, DECAY, 0.97):
                cells = []
                for step in STEPS:
                    found = [
                        judge(simulate(name, years), step, decay, errors_from, sides) for name in PROCESSES
                    ]
                    coverage, score = (
                        np.mean([f[0].mean() for f in found]),
                        np.mean([f[1].mean() for f in found]),
                    )
                    spread = np.mean([f[0].std() for f in found])
                    cells.append(f"step {step}: {100 * coverage:.1f} ({100 * spread:.1f}) {score:.3f}")
                scaling = "unscaled" if decay is None else f"decay {decay}"
                print(f"  {errors_from:10} {sides:9} {scaling:10}", "   ".join(cells), flush=True)


def judge(
    log_close: np.ndarray, step: int, decay: float | None, errors_from: str, sides: str
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage and Winkler score on the test rows, (SERIES,) each, of one variant."""
    rows = log_close.shape[1]
    errors, origins = forecast_errors(log_close, step, 0.0)
    unit = np.ones_like(errors)
    if decay is not None:
        unit = np.array([recent_volatility(close, decay)[origins] for close in np.exp(log_close)])
    scaled = errors / unit
    sigma = np.diff(log_close[:, : origins[0] + 1]).std(axis=1)
    first_test = round(0.9 * rows) - 1 - origins[0]
    covered, scores = [], []
    for index in range(first_test, len(origins) - step + 1):
        known = scaled[:, : (first_test if errors_from == "validation" else index) - step + 1]
        n = known.shape[1]
        if sides == "symmetric":
            high = np.sort(np.abs(known), axis=1)[:, conformal_rank(n) - 1]
            low = -high
        else:  # a tenth beyond each side
            rank = min(n, int(np.ceil((n + 1) * (1 + NOMINAL) / 2)))
            ordered = np.sort(known, axis=1)
            low, high = ordered[:, n - rank], ordered[:, rank - 1]
        low, high, error = low * unit[:, index], high * unit[:, index], errors[:, index]
        missed = np.maximum(low - error, 0) + np.maximum(error - high, 0)
        covered.append(missed == 0)
        scores.append((high - low + 2 / (1 - NOMINAL) * missed) / sigma)
    return np.mean(covered, axis=0), np.mean(scores, axis=0)


def show_sample() -> None:
    """Coverage of the bands of networks trained as by default, on all years of the packaged sample."""
    print("\nThe packaged sample, all years, default network: coverage % [95 % interval]")
    shares = []
    for ticker in sample_tickers():
        config = TrainConfig(data=DataConfig(ticker, years=100, source="sample"))
        trained = fit_networks(prepare(config, find_prices(config.data)))
        found = assess(trained).bands
        bands = [found[step - 1] for step in STEPS]
        shares.append([band.coverage for band in bands])
        cells = [
            f"step {band.step}: {100 * band.coverage:.1f} [{100 * band.low:.0f}, {100 * band.high:.0f}]"
            for band in bands
        ]
        print(f"  {ticker:5} {len(trained.prepared.windows.close):,} rows  ", "   ".join(cells), flush=True)
    means = [
        f"step {step}: {100 * mean:.1f}" for step, mean in zip(STEPS, np.mean(shares, axis=0), strict=True)
    ]
    print("  mean  ", "   ".join(means))


if __name__ == "__main__":
    for years in (4, 10, 33):
        for noise in (0.0, 0.8):
            show_coverage(years, noise)
    for years in (4, 10):
        show_variants(years)
    show_sample()
