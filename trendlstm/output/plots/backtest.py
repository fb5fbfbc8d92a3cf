"""The picture of a backtest: what it earned, its last intervals, its hit rate over time, and its skill by ticker."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from trendlstm.drawing import BLACK, BLUE, GREY, SKY, VERMILLION, decorate
from trendlstm.evaluation.intervals import NOMINAL
from trendlstm.evaluation.metrics import clustered_interval
from trendlstm.evaluation.trading import BUY_AND_HOLD, LONG_FLAT, LONG_SHORT
from trendlstm.output.plots.style import DPI, LEGEND, PALETTE, date_axis, draw_subtitle, draw_title, save
from trendlstm.output.wording import count, quantiles_phrase, sessions
from trendlstm.workflows.backtest import POOLED, Backtest
from trendlstm.workflows.variants import MODELS

_LAST_DAYS = 60  # of the intervals: more of them cannot be told apart
_WINDOW = 60  # origins of a rolling hit rate
_MOST_BARS = 30
_SMALL_LEGEND: dict[str, Any] = {**LEGEND, "fontsize": 9, "columnspacing": 1.0, "handlelength": 1.4}
_STYLES = {LONG_FLAT: "solid", LONG_SHORT: "dashed"}


def plot_backtest(result: Backtest, path: str | Path) -> None:
    """Draw the equity of every strategy and its drawdown, the last intervals, hit rates over time, skill by ticker.

    Parameters
    ----------
    result : Backtest
    path : str or Path
        The PNG file to create or replace.

    Raises
    ------
    OSError
        The file cannot be written; an earlier one stays as it was.
    """
    save(_figure(result), path)


def _figure(result: Backtest) -> Figure:
    config, tickers = result.config, list(result.walks)
    figure = Figure(figsize=(1300 / DPI, 1500 / DPI), dpi=DPI)
    figure.subplots_adjust(left=0.095)  # where titles begin
    equity = figure.add_axes((0.095, 0.665, 0.87, 0.195))
    drawdown = figure.add_axes((0.095, 0.575, 0.87, 0.075), sharex=equity)
    intervals, hits = (
        figure.add_axes((0.095, 0.325, 0.385, 0.17)),
        figure.add_axes((0.58, 0.325, 0.385, 0.17)),
    )
    skill = figure.add_axes((0.095, 0.055, 0.87, 0.185))
    names = ", ".join(tickers[:6]) + (f" and {len(tickers) - 6} more" if len(tickers) > 6 else "")
    draw_title(figure, f"Backtest of {names}", y=0.979)
    warm = ", each from the weights of the fold before" if config.warm_start else ""
    networks = count(config.seeds, "network")
    draw_subtitle(figure, f"A refit every {sessions(config.refit)}, {networks} a forecast{warm}", y=0.957)
    _draw_accounts(equity, drawdown, result)
    _draw_intervals(intervals, result)
    _draw_hits(hits, result)
    _draw_skill(skill, result)
    for axes in (equity, drawdown, intervals, hits, skill):
        decorate(axes)
    return figure


def _colour(model: str) -> str:
    return PALETTE[MODELS[model].colour] if model in MODELS else SKY


def _label(model: str) -> str:
    return MODELS[model].label if model in MODELS else model


def _heading(axes: Axes, text: str, legend_rows: float = 1) -> None:
    axes.set_title(text, loc="left", fontsize=12, fontweight="bold", pad=8 + 18 * legend_rows)


def _draw_accounts(equity: Axes, drawdown: Axes, result: Backtest) -> None:
    """What following the forecasts would have earned, of all tickers together."""
    costs = result.config.costs_bps
    for one in result.accounts:
        if one.ticker != POOLED or one.account.costs_bps != costs:
            continue
        held = one.strategy == BUY_AND_HOLD
        style: dict[str, Any] = {
            "color": BLACK if held else _colour(one.model),
            "linestyle": "solid" if held else _STYLES[one.strategy],
            "linewidth": 1.4 if held else 2.0,
        }
        worth, dates = one.account.equity, one.account.dates
        label = BUY_AND_HOLD if held else f"{_label(one.model)}, {one.strategy}"
        equity.plot(dates, worth, label=f"{label}: {100 * (worth[-1] - 1):+.1f} %", **style)
        drawdown.plot(dates, 100 * (worth / np.maximum.accumulate(worth) - 1), **{**style, "linewidth": 1.2})
    drawn = len(equity.get_lines())
    several = "" if len(result.walks) == 1 else f", equal parts of {len(result.walks)} tickers"
    columns, legend = (3, LEGEND) if drawn <= 12 else (4, _SMALL_LEGEND)
    _heading(
        equity,
        f"What 1 became{several}, after costs of {costs:g} bps of the turnover",
        -(-drawn // columns) * legend["fontsize"] / LEGEND["fontsize"],
    )
    equity.axhline(1, color=GREY, linewidth=0.8)
    equity.legend(**legend, ncols=columns)
    equity.set_ylabel("equity", fontsize=12)
    drawdown.set_ylabel("drawdown %", fontsize=11)
    equity.margins(x=0.01)
    equity.tick_params(labelbottom=False)
    date_axis(drawdown, pd.DatetimeIndex(dates))


def _draw_intervals(axes: Axes, result: Backtest) -> None:
    """The first ticker's last forecasts of step 1 with their intervals."""
    table, model = result.predictions, result.config.models[0]
    ticker = next(iter(result.walks))
    own = table[(table["ticker"] == ticker) & (table["model"] == model) & (table["step"] == 1)]
    shown = own.iloc[-_LAST_DAYS:].set_index("date")
    levels = result.config.network.levels
    interval = quantiles_phrase(levels[0], levels[-1]) if levels else f"{100 * NOMINAL:g} % interval"
    axes.fill_between(
        shown.index,
        shown["low"],
        shown["high"],
        color=SKY,
        alpha=0.45,
        linewidth=0,
        label=interval,
    )
    finite = np.isfinite(shown["adaptive_high"]) & (shown["adaptive_low"] > 0)
    for edge, label in (("adaptive_low", "adaptive"), ("adaptive_high", None)):
        axes.plot(
            shown.index, shown[edge].where(finite), color=BLUE, linewidth=0.9, linestyle="dashed", label=label
        )
    axes.plot(shown.index, shown["forecast"], color=BLUE, linewidth=1.4, label=f"{_label(model)} forecast")
    outside = (shown["actual"] < shown["low"]) | (shown["actual"] > shown["high"])
    axes.plot(shown.index, shown["actual"], color=BLACK, linewidth=1.8, label="close")
    axes.plot(
        shown.index[outside], shown["actual"][outside], "o", color=VERMILLION, markersize=5, label="outside"
    )
    _heading(axes, f"{ticker}: the last {len(shown)} forecasts of the next session")
    axes.legend(**_SMALL_LEGEND, ncols=5)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.7g}"))
    axes.set_ylabel("closing price", fontsize=12)
    axes.margins(x=0.02)
    date_axis(axes, pd.DatetimeIndex(shown.index), most=4)


def _draw_hits(axes: Axes, result: Backtest) -> None:
    """Share of right directions over the last origins, of all tickers, with its interval."""
    table = result.predictions
    for model in result.config.models:
        own = table[(table["model"] == model) & (table["step"] == 1)]
        change = np.sign(own["actual"] - own["naive"])
        right = (np.sign(own["forecast"] - own["naive"]) == change) & (change != 0)
        by_date = pd.DataFrame({"hits": right, "counted": change != 0}).groupby(own["origin"]).sum()
        window = min(_WINDOW, len(by_date))
        ends = range(window, len(by_date) + 1)
        hits, counted = (by_date[name].to_numpy(np.float64) for name in ("hits", "counted"))
        parts = [(hits[row - window : row], counted[row - window : row]) for row in ends]
        known = [part[1].sum() > 0 for part in parts]
        dates = by_date.index[window - 1 :][known]
        rates = [part[0].sum() / part[1].sum() for part, some in zip(parts, known, strict=True) if some]
        edges = [clustered_interval(*part) for part, some in zip(parts, known, strict=True) if some]
        if not edges:
            continue
        low, high = np.transpose(edges)
        colour = _colour(model)
        axes.plot(dates, 100 * np.array(rates), color=colour, linewidth=2, label=_label(model))
        axes.fill_between(dates, 100 * low, 100 * high, color=colour, alpha=0.18, linewidth=0)
        date_axis(axes, pd.DatetimeIndex(dates), most=4)
    axes.axhline(50, color=BLACK, linewidth=0.9, linestyle="dashed", label="as good as a coin")
    lines = len(result.config.models) + 1
    columns, legend = (min(3, lines), LEGEND) if lines <= 6 else (4, _SMALL_LEGEND)
    _heading(
        axes,
        f"Right directions of the last {window} days [95 %]",
        -(-lines // columns) * legend["fontsize"] / LEGEND["fontsize"],
    )
    axes.legend(**legend, ncols=columns)
    axes.set_ylabel("hit rate %", fontsize=12)
    axes.margins(x=0.02)


def _draw_skill(axes: Axes, result: Backtest) -> None:
    """Skill of step 1 by ticker, of every model."""
    rows = [one for one in result.measures if one.ticker != POOLED and one.metrics.measured.step == 1]
    skills = {(one.ticker, one.model): one.metrics.measured.skill for one in rows}
    first = result.config.models[0]
    tickers = sorted(result.walks, key=lambda ticker: -(skills[ticker, first] or 0))
    shown = (
        tickers if len(tickers) <= _MOST_BARS else [*tickers[: _MOST_BARS // 2], *tickers[-_MOST_BARS // 2 :]]
    )
    models = (*result.config.models, "ridge", "drift")
    width = 0.8 / len(models)
    for index, model in enumerate(models):
        values = [100 * (skills[ticker, model] or 0) for ticker in shown]
        place = np.arange(len(shown)) + (index - (len(models) - 1) / 2) * width
        axes.bar(place, values, 0.9 * width, color=_colour(model), label=_label(model))
    axes.axhline(0, color=BLACK, linewidth=1)
    axes.set_xticks(range(len(shown)), shown, rotation=90 if len(shown) > 12 else 0)
    some = "" if shown == tickers else f", the best and worst {_MOST_BARS // 2} of {len(tickers):,} tickers"
    _heading(axes, f"Skill by ticker{some}: how much smaller the RMSE is than persistence's")
    axes.legend(**LEGEND, ncols=len(models))
    axes.set_ylabel("skill %", fontsize=12)
