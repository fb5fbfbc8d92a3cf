"""What the page of a backtest shows."""

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import NetworkConfig
from trendlstm.evaluation.intervals import NOMINAL
from trendlstm.evaluation.trading import BUY_AND_HOLD, STRATEGIES
from trendlstm.output.backtest import (
    accounts_table,
    errors_table,
    evidence_table,
    model_label,
    strategy_label,
    walk_distributions_table,
)
from trendlstm.output.report.charts import Chart, Dash, Line, Rows, band
from trendlstm.output.report.facts import facts
from trendlstm.output.report.folder import read_table
from trendlstm.output.report.html import Html, html_table, joined, paragraphs
from trendlstm.output.report.page import Page, Section
from trendlstm.output.wording import count, decimals, prices_sentence, quantiles_phrase, sessions
from trendlstm.workflows.backtest import POOLED
from trendlstm.workflows.variants import MODELS, Colour

# What is drawn of many tickers, so that a page of hundreds opens as fast as one of a few.
MOST_TICKERS = 500
MOST_POINTS = 30_000
LEAST_FORECASTS = 60  # of a ticker
_LISTED_TICKERS = 20

_DASHES: tuple[Dash, ...] = ("solid", "dashed", "dashdot", "sparse", "long", "dashdotdot")
_BANDS = ("low", "high", "adaptive_low", "adaptive_high")


def backtest_page(folder: Path, document: Mapping[str, Any], found: Mapping[str, Any]) -> Page:
    """The page of the folder that `trendlstm backtest` wrote.

    Parameters
    ----------
    folder : Path
    document, found : mapping
        The content of `run.json` and `metrics.json`.
    """
    settings, tickers = document["settings"], list(document["provenance"])
    predictions = read_table(
        folder / "predictions.csv",
        ["step", "naive", "forecast", "actual"],
        ["origin", "date"],
        ["ticker", "model"],
        gaps=_BANDS,
    )
    tickers = [ticker for ticker in tickers if ticker not in found["failures"]]
    equity = read_table(folder / "equity.csv", ["equity"], ["date"], ["ticker", "model", "strategy"])
    # an account begins at the first session that was forecast, the day before its first row
    starts = predictions[predictions["step"] == 1].groupby("ticker")["date"].min()
    accounts = _accounts(equity, starts, tickers, settings)
    levels = NetworkConfig.from_dict(settings["network"]).levels
    forecasts, note = _forecasts(predictions, tickers, settings["models"], levels)
    own = predictions.loc[predictions["ticker"] == tickers[0], "origin"]
    period = f"{own.min():%Y-%m-%d}", f"{own.max():%Y-%m-%d}"
    tries = len(
        {(one["model"], one["strategy"]) for one in found["accounts"] if one["strategy"] != BUY_AND_HOLD}
    )
    tables = [
        errors_table(found, tickers, period, len(tickers)),
        evidence_table(found, tickers, len(tickers)),
    ]
    if levels:
        tables.append(walk_distributions_table(found, tickers, settings["window"]["scaling"], len(tickers)))
    earned = accounts_table(found, tickers, settings["costs_bps"], tries + settings["trials_before"])
    sections = [
        Section(
            "earned",
            "What it would have earned",
            joined(*(chart.figure() for chart in accounts), html_table(earned)),
        ),
        Section(
            "forecasts",
            "Forecasts",
            joined(paragraphs(note, "quiet"), *(chart.figure() for chart in forecasts)),
        ),
        Section("errors", "How far off, and the evidence", joined(*map(html_table, tables))),
        Section("limits", "What this cannot say", _limits(len(own.unique()))),
        Section("provenance", "Settings and provenance", _provenance(document)),
    ]
    if found["failures"]:
        failed = [f"{ticker}: {why}" for ticker, why in found["failures"].items()]
        sections.insert(3, Section("failures", "Not tested", paragraphs("\n".join(failed))))
    any_evidence = [model_label(name) for name, is_evidence in found["evidence"].items() if is_evidence]
    return Page(
        kind="Backtest",
        title=", ".join(tickers[:6]) + (f" and {len(tickers) - 6:,} more" if len(tickers) > 6 else ""),
        subtitle=_subtitle(document, tickers, period),
        answer=f"Evidence of skill: {', '.join(any_evidence)}" if any_evidence else "No evidence of skill",
        is_good=bool(any_evidence),
        verdict=found["verdict"],
        sections=sections,
        charts=[*accounts, *forecasts],
        created=document["created"],
    )


def _subtitle(document: Mapping[str, Any], tickers: Sequence[str], period: tuple[str, str]) -> str:
    settings = document["settings"]
    prices = (
        prices_sentence(document["provenance"][tickers[0]])
        if len(tickers) == 1
        else f"{len(tickers):,} tickers, forecast on {period[0]} to {period[1]}."
    )
    return (
        f"{prices}\n{count(document['folds'], 'fold')}: a refit every {sessions(settings['refit'])}, "
        f"{count(settings['seeds'], 'network')} a forecast."
    )


def _colour(model: str) -> Colour:
    return MODELS[model].colour if model in MODELS else "sky"


def _accounts(
    equity: pd.DataFrame,
    starts: "pd.Series[pd.Timestamp]",
    tickers: Sequence[str],
    settings: Mapping[str, Any],
) -> list[Chart]:
    """Equity and drawdown of every strategy: of all tickers together, and of each as long as they are few."""
    costs = settings["costs_bps"]
    following = [strategy for strategy in STRATEGIES if strategy != BUY_AND_HOLD]
    strategies = [*product(settings["models"], following), ("", BUY_AND_HOLD)]
    # the account of all tickers is under no name; of one it is the ticker's own
    names = {POOLED: "all tickers together"} if len(tickers) > 1 else {POOLED: tickers[0]}
    if len(tickers) > 1 and len(equity) <= MOST_POINTS:
        names |= {ticker: ticker for ticker in tickers}
    lines, worth, falls = [], [], []
    for number, (model, strategy) in enumerate(strategies):
        held = strategy == BUY_AND_HOLD
        lines.append(
            Line(
                strategy_label(model, strategy),
                "black" if held else _colour(model),
                "dotted" if held else _DASHES[number % len(_DASHES)],
                1.6 if held else 2 + number // len(_DASHES),
            )
        )
    for ticker, name in names.items():
        own = equity[equity["ticker"] == ticker]
        table = own.pivot(index="date", columns=["model", "strategy"], values="equity")[strategies]
        dates = table.index.insert(0, starts.min() if ticker == POOLED else starts[ticker])
        values = np.insert(table.to_numpy().T, 0, 1, axis=1)
        worth.append(Rows(dates, values, name))
        falls.append(Rows(dates, 100 * (values / np.maximum.accumulate(values, axis=1) - 1), name))
    several = "" if len(tickers) == 1 else f", equal parts of {len(tickers):,} tickers"
    only = (
        ""
        if len(names) > 1 or len(tickers) == 1
        else " Of so many tickers the page has all together; equity.csv has each."
    )
    return [
        Chart(
            "equity",
            f"What 1 became{several}, after costs of {costs:g} bps of the turnover",
            f"Following the forecasts beside buy and hold.{only}",
            "date",
            "equity",
            lines,
            worth,
            digits=3,
            choice="Account of",
        ),
        Chart(
            "drawdown",
            "Drawdown",
            "How far the equity was below its highest value until then.",
            "date",
            "drawdown",
            lines,
            falls,
            digits=1,
            unit=" %",
            choice="Account of",
            aspect=0.26,
        ),
    ]


def _forecasts(
    predictions: pd.DataFrame, tickers: Sequence[str], models: Sequence[str], levels: Sequence[float]
) -> tuple[list[Chart], str]:
    """The forecasts of the next session with their intervals, of a ticker that the reader chooses; what is left out."""
    shown = tickers[:MOST_TICKERS]
    first = predictions[predictions["step"] == 1]
    groups = dict(iter(first.groupby(["ticker", "model"])))
    longest = max(map(len, groups.values()))
    newest = max(LEAST_FORECASTS, MOST_POINTS // (len(shown) * len(models)))
    parts = [f"Forecasts of the next session{'; choose a ticker' if len(shown) > 1 else ''}."]
    if len(shown) < len(tickers):
        parts.append(f"The first {len(shown):,} of {len(tickers):,} tickers.")
    if newest < longest:
        parts.append(f"The newest {newest:,} of {longest:,} forecasts of each ticker.")
    if len(parts) > 1:
        parts.append("predictions.csv has all.")
    share, interval = f"{100 * NOMINAL:g} %", f"{100 * NOMINAL:g} % interval (split conformal)"
    note = f"The intervals should hold {share} of the closes."
    if levels:
        interval = quantiles_phrase(levels[0], levels[-1])
        note = (
            f"Between the quantiles {100 * (levels[-1] - levels[0]):g} % of the closes should lie, in the adaptive "
            f"interval {share}."
        )
    charts = []
    for model in models:
        lines = [
            *band(interval, "sky"),
            Line(f"{share} adaptive interval, from", "blue", "dotted", 1.2),
            Line(f"{share} adaptive interval, to", "blue", "dotted", 1.3),
            Line("previous close (persistence)", "grey", "dashed", 1.2),
            Line(f"{model_label(model)} forecast", "blue", "solid", 1.4),
            Line("close", "black", "solid", 2.6),
        ]
        sets = []
        for ticker in shown:
            own = groups[ticker, model].iloc[-newest:]
            columns = [*_BANDS, "naive", "forecast", "actual"]
            sets.append(Rows(own["date"], [own[name].to_numpy() for name in columns], ticker))
        closes = first.loc[first["ticker"] == shown[0], "actual"]
        charts.append(
            Chart(
                f"forecasts-{model}",
                f"{model_label(model)}: forecasts of the next close with their intervals",
                f"{note} Zoom in to see days.",
                "date",
                "closing price",
                lines,
                sets,
                digits=decimals(float(closes.iloc[-1]), 5),
                choice="Ticker",
            )
        )
    return charts, " ".join(parts)


def _provenance(document: Mapping[str, Any]) -> Html:
    """The prices of every ticker, as a list where there are several, and the settings."""
    tickers = list(document["provenance"].values())
    if len(tickers) == 1:
        return facts(document, tickers[0])
    lines = [prices_sentence(provenance) for provenance in tickers[:_LISTED_TICKERS]]
    if len(tickers) > len(lines):
        lines.append(f"... and {count(len(tickers) - len(lines), 'ticker')} more; run.json has all.")
    return joined(paragraphs("\n".join(lines), "quiet"), facts(document))


def _limits(days: int) -> Html:
    limits = [
        f"What will be earned. {count(days, 'day')} show little, and markets change.",
        "What trading would really have cost: costs per trade are counted, but no slippage, no taxes, and nothing for "
        "lending shares.",
        "How many other strategies were tried before this one: the deflated Sharpe ratio counts only those that it was "
        "told.",
    ]
    return Html("<ul>\n{}\n</ul>").format(joined(*(Html("<li>{}</li>").format(line) for line in limits)))
