"""A backtest's folder, and its result in words, tables and files."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from trendlstm.config import BacktestConfig
from trendlstm.data.prices import PriceSet
from trendlstm.errors import OptionError, RunError
from trendlstm.evaluation.intervals import NOMINAL
from trendlstm.evaluation.many_models import ConfidenceSet
from trendlstm.evaluation.performance import told_return
from trendlstm.evaluation.trading import BUY_AND_HOLD
from trendlstm.files import jsonable, write_csv, write_json
from trendlstm.formats import figure, p_value, share
from trendlstm.kernels.cache import processor
from trendlstm.output.console import Console
from trendlstm.output.distributions import distributions_table
from trendlstm.output.fold_file import FoldFile, changed_settings
from trendlstm.output.record import header
from trendlstm.output.tables import Table
from trendlstm.output.wording import count, decimals, look_ahead_sentence, prices_sentence, sessions
from trendlstm.workflows.backtest import POOLED, Backtest
from trendlstm.workflows.fold_queue import Planned, plan
from trendlstm.workflows.variants import MODELS

MOST_LINES = 10  # of one kind that are shown; files have them all


class BacktestFolder:
    """A backtest's folder: the finished folds while it is made, all that came of them at the end.

    Left by an exception before any fold is finished, a new folder is removed again.

    Attributes
    ----------
    path : Path
    store : FoldFile
    planned : Planned
    """

    def __init__(self, path: Path, store: FoldFile, is_new: bool) -> None:
        """Use `create` or `resume`."""
        self.path, self.store, self._is_new = path, store, is_new
        planned = plan(store.prices, store.config)
        self.planned = Planned(planned.config, planned.walks, {**store.failures, **planned.failures})
        self._start = time.perf_counter()

    @classmethod
    def create(
        cls,
        path: str | Path | None,
        config: BacktestConfig,
        prices: Mapping[str, PriceSet],
        failures: Mapping[str, str],
    ) -> Self:
        """Make the folder of a new backtest.

        Parameters
        ----------
        path : str or Path, optional
            Default: runs/BACKTEST-YYYYMMDD-HHMMSS.
        config : BacktestConfig
        prices : mapping of str to PriceSet
            By ticker.
        failures : mapping of str to str
            The tickers without prices, and why.

        Raises
        ------
        OptionError
            The folder exists already.
        RunError
            It cannot be made.
        """
        given = Path("runs") / f"BACKTEST-{datetime.now():%Y%m%d-%H%M%S}" if path is None else Path(path)
        folder, attempt = given, 1
        while True:
            try:
                folder.mkdir(parents=True)
                break
            except FileExistsError as error:
                if path is not None:
                    raise OptionError(
                        f"{path} exists already: choose another folder with --out, or go on with --resume {path}."
                    ) from error
                attempt += 1
                folder = given.with_name(f"{given.name}-{attempt}")
            except OSError as error:
                raise RunError(
                    f"the folder {folder} cannot be made ({error.strerror}): choose another with --out."
                ) from error
        return cls(folder, FoldFile.create(folder, config, prices, failures), is_new=True)

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """Go on in the folder of an earlier backtest.

        Raises
        ------
        RunError
            See `FoldFile.open`.
        """
        return cls(Path(path), FoldFile.open(Path(path)), is_new=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        is_empty = self._is_new and self.finished == 0
        self.store.close()
        if kind is not None and is_empty:
            shutil.rmtree(self.path, ignore_errors=True)

    @property
    def finished(self) -> int:
        """How many folds are finished."""
        return sum(len(self.store.finished(ticker)) for ticker in self.planned.walks)

    def refuse_changes(
        self, config: BacktestConfig, prices: Mapping[str, PriceSet], failures: Mapping[str, str]
    ) -> None:
        """Raise OptionError if settings or prices are not those with which the backtest was begun."""
        names = changed_settings(config.to_dict(), self.planned.config.to_dict())
        if names:
            raise OptionError(
                f"{self.path} was begun with another {' and another '.join(names)}: leave out all settings to go on "
                "with its own, or begin another backtest."
            )
        known = self.store.prices
        for ticker in dict.fromkeys((*known, *prices)):
            hashes = [each[ticker].provenance.sha256 if ticker in each else None for each in (known, prices)]
            if hashes[0] != hashes[1]:
                raise OptionError(
                    f"{self.path} was begun with other prices of {ticker}: leave out the tickers to go on with its "
                    "own prices, or begin another backtest."
                )

    def write(self, result: Backtest, draw: bool) -> dict[str, Any]:
        """Write what a backtest found, the same bytes for the same folds but in `run.json`.

        Parameters
        ----------
        result : Backtest
        draw : bool
            Whether to draw `backtest.png`, too.

        Returns
        -------
        dict
            The content of `run.json` and `metrics.json`.
        """
        found = describe_backtest(result)
        write_csv(self.path / "predictions.csv", result.predictions)
        if result.config.seeds > 1:
            write_csv(self.path / "members.csv", result.members)
        write_csv(self.path / "equity.csv", result.equity)
        write_json(self.path / "metrics.json", found)
        if draw:
            from trendlstm.output.plots.backtest import plot_backtest

            plot_backtest(result, self.path / "backtest.png")
        seconds = {"session": time.perf_counter() - self._start, "fits": result.seconds}
        provenance = {ticker: walk.prices.provenance.to_dict() for ticker, walk in result.walks.items()}
        document = {
            **header(result.config.to_dict(), "cpu", seconds, provenance),
            "folds": self.planned.folds,
        }
        write_json(self.path / "run.json", jsonable(document))
        return {**document, **found}


def describe_backtest(result: Backtest) -> dict[str, Any]:
    """What was found, as `metrics.json` has it."""
    return jsonable(
        {
            "verdict": result.verdict,
            "evidence": {model: one.is_evidence for model, one in result.evidence.items()},
            "failures": result.failures,
            "purged": result.purged,
            "warm_start": result.config.warm_start,
            "trades_at": result.trades_at,
            "measures": [one.to_dict() for one in result.measures],
            "accounts": [one.to_dict() for one in result.accounts],
            "confidence_set": vars(result.confidence_set),
            "superior_ability": vars(result.superior_ability),
        }
    )


def show_plan(console: Console, folder: BacktestFolder) -> None:
    """Which prices are walked through, and how."""
    planned, store = folder.planned, folder.store
    walks = list(planned.walks.values())
    for walk in walks[:MOST_LINES]:
        console.print(prices_sentence(walk.prices.provenance.to_dict()))
    if len(walks) > MOST_LINES:
        console.print(f"... and {count(len(walks) - MOST_LINES, 'ticker')} more.")
    config = planned.config
    learns = (
        "all rows before it"
        if config.train_years is None
        else f"the last {config.train_years:g} year{'' if config.train_years == 1 else 's'} before it"
    )
    networks = count(config.seeds * len(config.models) * planned.folds, "network")
    console.print(
        f"{count(planned.folds, 'fold')}: a refit every {sessions(config.refit)} on {learns}; "
        f"{networks} to train{', each from the weights of the fold before' if config.warm_start else ''}."
    )
    if config.gap:
        console.print(
            f"Every fold leaves out its newest {count(config.gap, 'sample')}, because targets {config.window.horizon} "
            "sessions ahead are not known at its cutoff"
            + ("." if config.gap == config.window.horizon - 1 else ", or because of --gap.")
        )
    adjusted = any(walk.prices.provenance.adjusted for walk in walks)
    if look_ahead := look_ahead_sentence(adjusted, config.window.scaling):
        console.print(look_ahead)
    if finished := folder.finished:
        console.print(f"Finished already: {count(finished, 'fold')}.")
        if store.processor != processor():
            console.warning(
                f"This backtest was begun on a processor {store.processor}, but this is {processor()}: the last digits "
                "of what is still to do may differ from what they would be there."
            )
    console.print()


def show_backtest(console: Console, result: Backtest) -> None:
    """The tables of forecasts and of accounts, and the verdict."""
    _show_forecasts(console, result)
    console.print()
    _show_accounts(console, result)
    if result.failures:
        console.print()
        for ticker, why in result.failures.items():
            console.warning(f"{ticker} was not tested: {why}")
    console.print()
    console.print(result.verdict)


def model_label(model: str) -> str:
    """What tables call a model."""
    return MODELS[model].label if model in MODELS else model


def strategy_label(model: str, strategy: str) -> str:
    """What tables call a strategy that follows a model; buy and hold follows none."""
    return BUY_AND_HOLD if strategy == BUY_AND_HOLD else f"{model_label(model)}, {strategy}"


def _show_forecasts(console: Console, result: Backtest) -> None:
    """How large the errors were, and what the tests say about them."""
    tickers = list(result.walks)
    first = next(iter(result.walks.values()))
    origins = first.prices.frame.index[first.origins[[0, -1]]]
    period = f"{origins[0]:%Y-%m-%d}", f"{origins[1]:%Y-%m-%d}"
    found = describe_backtest(result)
    errors = errors_table(found, tickers, period, MOST_LINES)
    if len(tickers) > MOST_LINES:
        some = f"The first {MOST_LINES} of {len(tickers):,} tickers; metrics.json has all."
        errors = replace(errors, legend=[*errors.legend, some])
    console.show(errors)
    console.print()
    console.show(evidence_table(found, tickers, MOST_LINES))
    if result.config.network.levels:
        console.print()
        console.show(walk_distributions_table(found, tickers, result.config.window.scaling, MOST_LINES))


def errors_table(
    found: Mapping[str, Any], tickers: Sequence[str], period: tuple[str, str], most: int
) -> Table:
    """How large the errors were.

    Parameters
    ----------
    found : mapping
        The content of `metrics.json`.
    tickers : sequence of str
        Those that were tested.
    period : pair of str
        The days of the first and the last forecast.
    most : int
        Tickers that are shown, beside all together.
    """
    several = len(tickers) > 1
    distribution = next(filter(None, (one.get("distribution") for one in found["measures"])), None)
    level, kind = f"{100 * NOMINAL:g}", "split conformal and adaptive intervals held, which should be"
    if distribution:
        outer = distribution["bands"][0]
        level = f"{100 * outer['nominal']:g}"
        kind = f"the outer quantiles held, which should be {level}, and adaptive intervals, which should hold"
    legend = [
        "RMSE, MAE: in the price's currency"
        + (", of all tickers together in % of the price." if several else "."),
        "MASE: MAE in units of persistence's before the test. Skill: 1 - RMSE / RMSE of persistence.",
        "Lag: the shift, in forecasts, at which they fit the closes best; of step 1, +1 is an echo of the last close.",
        f"Bands: closes in % that {kind} {100 * NOMINAL:g}.",
    ]
    names, chosen = _shown(found, tickers, most)
    return Table(
        f"Forecasts made on {period[0]} to {period[1]}"
        + (", networks begin with the weights of the fold before" if found["warm_start"] else ""),
        [
            *names,
            "n",
            "RMSE",
            "MAE",
            "MASE",
            "Skill",
            "Hit rate % [95 %]",
            "Lag",
            f"In {level} % band % [95 %]",
            "in adaptive one",
        ],
        [[*_names(one, names), *_errors(one)] for one in chosen],
        legend,
        text=("Forecast",) if several else (),
    )


def evidence_table(found: Mapping[str, Any], tickers: Sequence[str], most: int) -> Table:
    """What the tests say about the errors; the parameters are those of `errors_table`."""
    several = len(tickers) > 1
    legend = [
        "DM: Diebold-Mariano on log returns, which counts: on prices the years with a high price weigh more.",
        "Clark-West: the same, less the noise that learning adds. Directions: Pesaran-Timmermann. Correlation: of",
        "forecast and actual changes, above 0. Claim: the largest of those that evidence needs; 1 where the errors are",
        "no smaller than persistence's and drift's. adjusted: for the number of tickers and models, by",
        "Benjamini-Hochberg.",
    ]
    if several:
        legend.append("all: tests of the mean over tickers by date, because tickers move together.")
    best, superior = ConfidenceSet(**found["confidence_set"]), found["superior_ability"]
    if best.reason is None:
        members = ", ".join(model_label(name) for name in best.members)
        legend.append(f"Forecasts that may be the best (Model Confidence Set, 90 %): {members}.")
    if superior["p_value"] is not None:
        legend.append(
            f"That none is better than persistence, of all together (SPA): p = {p_value(superior['p_value'])}."
        )
    for reason in dict.fromkeys((best.reason, superior["reason"])):
        if reason is not None:
            legend.append(f"Tests of all forecasts together were not made, because {reason}.")
    names, chosen = _shown(found, tickers, most)
    return Table(
        "p-values of tests of whether they are better than persistence",
        [*names, "DM", "DM of prices", "Clark-West", "Directions", "Correlation", "Claim", "adjusted"],
        [[*_names(one, names), *_p_values(one)] for one in chosen if one["model"] != "persistence"],
        legend,
        text=("Forecast",) if several else (),
    )


def walk_distributions_table(
    found: Mapping[str, Any], tickers: Sequence[str], scaling: str, most: int
) -> Table:
    """How good predicted distributions were; the parameters are those of `errors_table`, and the windows' scaling."""
    several = len(tickers) > 1
    shown = [*tickers[:most], *([POOLED] if several else [])]
    named = [
        (f"{one['ticker'] or 'all'}, " * several + model_label(one["model"]), one["distribution"])
        for one in found["measures"]
        if one["distribution"] and one["ticker"] in shown
    ]
    return distributions_table(named, scaling)


def _shown(
    found: Mapping[str, Any], tickers: Sequence[str], most: int
) -> tuple[list[str], list[Mapping[str, Any]]]:
    """The headings that name rows, and the measures that are shown.

    Of several tickers those of the models alone, and all forecasts of all together.
    """
    horizon = max(one["step"] for one in found["measures"])
    measures = [one for one in found["measures"] if one["step"] in (1, horizon)]
    several = len(tickers) > 1
    chosen = [one for one in measures if one["ticker"] in tickers[:most] and (one["coverage"] or not several)]
    if several:
        chosen += [one for one in measures if one["ticker"] == POOLED]
    return ["Ticker"] * several + ["Forecast"] + ["Step"] * (horizon > 1), chosen


def _names(one: Mapping[str, Any], headings: Sequence[str]) -> list[object]:
    names = {"Ticker": one["ticker"] or "all", "Forecast": model_label(one["model"]), "Step": one["step"]}
    return [names[heading] for heading in headings]


def _errors(one: Mapping[str, Any]) -> list[object]:
    scale, unit = (100.0, " %") if one["ticker"] == POOLED else (1.0, "")
    digits = decimals(scale * one["rmse"], 4)
    hits = one["hit_rate"]
    return [
        one["n"],
        *(f"{scale * one[error]:,.{digits}f}{unit}" for error in ("rmse", "mae")),
        figure(one["mase"], ".3f"),
        None if one["model"] == "persistence" else figure(one["skill"], "+.4f"),
        share(hits["rate"], hits["low"], hits["high"]),
        figure(one["lag"], "+d"),
        *(held and _held(held) for held in (one["coverage"], one["adaptive_coverage"])),
    ]


def _held(coverage: Mapping[str, Any]) -> str | None:
    """The share of closes that bands held, with its interval."""
    counted = coverage["counted"]
    return share(coverage["covered"] / counted if counted else None, coverage["low"], coverage["high"])


def _p_values(one: Mapping[str, Any]) -> list[object]:
    tests = (
        one["diebold_mariano"],
        one["diebold_mariano_prices"],
        one["clark_west"],
        one["pesaran_timmermann"],
        one["correlation"]["test"],
    )
    return [
        p_value(p) for p in (*(test["p_value"] for test in tests), one["claim_p"], one["adjusted_claim_p"])
    ]


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _drawdown(fall: Mapping[str, Any]) -> str:
    """The deepest fall in percent, with its dates."""
    if fall["peak"] is None or fall["trough"] is None:
        return "0.0"
    return f"{100 * fall['depth']:.1f}, {fall['peak']} to {fall['trough']}"


def _show_accounts(console: Console, result: Backtest) -> None:
    console.show(
        accounts_table(describe_backtest(result), list(result.walks), result.config.costs_bps, result.tries)
    )


def accounts_table(found: Mapping[str, Any], tickers: Sequence[str], costs: float, tries: int) -> Table:
    """What following the forecasts would have earned, with equal parts of all tickers.

    Parameters
    ----------
    found : mapping
        The content of `metrics.json`.
    tickers : sequence of str
        Those that were tested.
    costs : float
        Of the settings, in 1/10,000 of the turnover.
    tries : int
        `Backtest.tries`.
    """
    at_costs: dict[tuple[str, str], dict[float, Mapping[str, Any]]] = {}
    for one in found["accounts"]:
        if one["ticker"] == POOLED:
            at_costs.setdefault((one["model"], one["strategy"]), {})[one["costs_bps"]] = one
    levels = list(next(iter(at_costs.values())))
    rows = []
    over = ""
    for (model, strategy), by_costs in at_costs.items():
        own = by_costs[costs]
        told = [
            told_return(own["days"], by_costs[level]["total_return"], by_costs[level]["annualised_return"])
            for level in levels
        ]
        over = told[0][1]  # all accounts are of the same days
        sharpe, deflated = own["sharpe"], own["deflated_sharpe"]
        rows.append(
            [
                strategy_label(model, strategy),
                *(figure(_percent(earned), "+.1f") for earned, _ in told),
                figure(_percent(own["volatility"]), ".1f"),
                sharpe and f"{sharpe['annualised']:+.2f} ± {sharpe['annualised_standard_error']:.2f}",
                sharpe and figure(sharpe["probabilistic"], ".2f"),
                deflated and figure(deflated["probability"], ".2f"),
                _drawdown(own["drawdown"]),
                f"{own['turnover_per_year']:.0f}",
                f"{own['exposure']:.2f}",
                own["trades"]["counted"],
                figure(_percent(own["trades"]["rate"]), ".0f"),
            ]
        )
    ats = set(found["trades_at"].values())
    at = (
        "next open"
        if ats == {"open"}
        else "next close"
        if ats == {"close"}
        else "next open, or close where there is none"
    )
    what = f"equal parts of {len(tickers)} tickers" if len(tickers) > 1 else tickers[0]
    legend = [
        f"bps: costs in 1/10,000 of the turnover; from the volatility on at {costs:g} bps. Cash earns nothing.",
        "PSR: the probability that the true Sharpe ratio is above 0; DSR: that it is above what the best of "
        f"{tries:,}",
        "tries without skill shows. Drawdown: the deepest fall, from its peak to its trough.",
    ]
    return Table(
        f"What following them would have earned with {what}, traded at the {at}; persistence never trades",
        [
            "Strategy",
            *(f"{f'% {over}, ' * (level == levels[0])}{level:g} bps" for level in levels),
            "Volatility %",
            "Sharpe ± s.e.",
            "PSR",
            "DSR",
            "Drawdown %",
            "Turnover/y",
            "Exposure",
            "Trades",
            "won %",
        ],
        rows,
        legend,
    )
