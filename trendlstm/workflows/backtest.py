"""What a finished backtest was worth: from its folds to tables of forecasts, measures and accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trendlstm.config import BacktestConfig, DataConfig
from trendlstm.data.calendar import EVERY_DAY
from trendlstm.data.frames import price_set
from trendlstm.data.prices import PriceSet
from trendlstm.errors import DataError, OptionError
from trendlstm.evaluation import panel
from trendlstm.evaluation.backtest_evidence import BacktestEvidence, backtest_evidence, backtest_verdict
from trendlstm.evaluation.distributions import DistributionMetrics, measure_distributions
from trendlstm.evaluation.evidence import claim_p_value
from trendlstm.evaluation.many_models import ConfidenceSet, model_confidence_set, superior_ability
from trendlstm.evaluation.metrics import HIT_RATE_COLUMNS
from trendlstm.evaluation.performance import LEAST_ANNUAL_DAYS, Performance, evaluate_account
from trendlstm.evaluation.sharpe import DeflatedSharpe, deflated_sharpe, variance_of_variants
from trendlstm.evaluation.significance import TestResult
from trendlstm.evaluation.trading import (
    BUY_AND_HOLD,
    LONG_FLAT,
    STRATEGIES,
    Account,
    account,
    cost_levels,
    portfolio,
)
from trendlstm.evaluation.walk_bands import Coverage, coverage_of_bands
from trendlstm.nn.progress import reporter
from trendlstm.notebook import Table, as_html
from trendlstm.workflows.fold_queue import (
    Engine,
    FoldStore,
    MemoryStore,
    Planned,
    Report,
    ThreadEngine,
    plan,
    run,
)
from trendlstm.workflows.folds import BASELINES, Walk
from trendlstm.workflows.variants import MODELS
from trendlstm.workflows.walked import Walked

if TYPE_CHECKING:
    from distributed import Client

FloatArray = NDArray[np.float64]
POOLED = ""  # stands where a ticker would: the measures of all together
# columns of `Backtest.performance` that are shares of 1
SHARES = ("total_return", "annualised_return", "volatility", "max_drawdown", "trade_hit_rate")


@dataclass(frozen=True, eq=False, repr=False)
class Backtest:
    """Everything that a backtest found; m steps.

    Attributes
    ----------
    config : BacktestConfig
    walks : dict of str to Walk
        By ticker: prices and folds.
    failures : dict of str to str
        The tickers that are not in the tables below, and why.
    predictions : DataFrame
        ticker, model, cutoff, origin, step, date, naive, forecast, actual, low, high, adaptive_low, adaptive_high,
        position: one row per ticker, model, origin and step. `cutoff` is the last day that the fold learned from,
        `origin` the day on which the forecast was made, of `date`; `naive` is its close. `low` and `high` are the
        split conformal interval, or the outer quantiles of predicted distributions, the others the adaptive one;
        baselines have none. `position` is that of long/short
        after this forecast, in the rows of the step that is followed.
    members : DataFrame
        ticker, model, seed, origin, step, date, forecast: of every network of every ensemble.
    measures : list of Measures
        By ticker, model and step; pooled over tickers under `POOLED`.
    accounts : list of Traded
        By ticker, model, strategy and costs; the portfolio of all tickers under `POOLED`.
    confidence_set : ConfidenceSet
        The models that may be the best, by pooled losses of step 1.
    superior_ability : TestResult
        Whether any model beats persistence, however many were tried.
    evidence : dict of str to BacktestEvidence
        By model: whether it is said to know more than persistence, of all tickers together and of each.
    verdict : str
        A paragraph for each model.
    purged : int
        Newest samples that every fold left out, because their targets reach past the cutoff or into the gap.
    trades_at : dict of str to {"open", "close"}
        By ticker, the price at which a signal is traded.
    seconds : float
        Processor time of all fits.
    """

    config: BacktestConfig
    walks: dict[str, Walk]
    failures: dict[str, str]
    predictions: pd.DataFrame
    members: pd.DataFrame
    measures: list["Measures"]
    accounts: list["Traded"]
    confidence_set: ConfidenceSet
    superior_ability: TestResult
    evidence: dict[str, BacktestEvidence]
    verdict: str
    purged: int
    trades_at: dict[str, str]
    seconds: float

    def __repr__(self) -> str:
        return f"<{self._title}: {self.verdict}>"

    def _repr_html_(self) -> str:
        earned = self.performance[self.performance["costs_bps"] == self.config.costs_bps]
        if earned["days"].max() < LEAST_ANNUAL_DAYS:
            earned = earned.drop(columns="annualised_return")
        return as_html(
            self._title,
            self.verdict,
            *(f"{ticker} was not tested: {why}" for ticker, why in self.failures.items()),
            Table(
                "Forecasts", self._named(self.metrics), (*HIT_RATE_COLUMNS, "coverage", "adaptive_coverage")
            ),
            Table("What following them would have earned", self._named(earned), SHARES),
        )

    @property
    def _title(self) -> str:
        tickers = list(self.walks)
        more = f" and {len(tickers) - 5:,} more" if len(tickers) > 5 else ""
        return f"Backtest of {', '.join(tickers[:5])}{more}"

    def _named(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with a name for what is of all tickers together; of one ticker that would say the same again."""
        if len(self.walks) == 1:
            return table[table["ticker"] != POOLED]
        return table.assign(ticker=table["ticker"].replace(POOLED, "all"))

    @property
    def tries(self) -> int:
        """Strategies that the deflated Sharpe ratios of the portfolio count: the run's own and those before it."""
        own = {(one.model, one.strategy) for one in self.accounts if one.strategy != BUY_AND_HOLD}
        return len(own) + self.config.trials_before

    @property
    def metrics(self) -> pd.DataFrame:
        """One row per ticker, model and step; the ticker of pooled rows is ""."""
        return pd.DataFrame([one.row() for one in self.measures])

    @property
    def performance(self) -> pd.DataFrame:
        """One row per ticker, model, strategy and costs; the ticker of the portfolio is ""."""
        return pd.DataFrame([one.row() for one in self.accounts])

    @property
    def equity(self) -> pd.DataFrame:
        """ticker, model, strategy, date, position, turnover, return, cost, equity at the costs of the settings."""
        costs = self.config.costs_bps
        return pd.concat(
            [one.table() for one in self.accounts if one.account.costs_bps == costs], ignore_index=True
        )


@dataclass(frozen=True, eq=False)
class Measures:
    """How good one model's forecasts of one step were.

    Attributes
    ----------
    ticker : str
        `POOLED` for all together.
    model : str
    metrics : WalkMetrics
    coverage, adaptive_coverage : Coverage or None
        Of the two kinds of intervals, where distributions are predicted of their outer quantiles in place of the first;
        None for a baseline.
    claim_p, adjusted_claim_p : float or None
        Of step 1, `claim_p_value`, and the same adjusted as `BacktestEvidence` says; None for a baseline.
    distribution : DistributionMetrics or None
        None unless the networks predict distributions.
    """

    ticker: str
    model: str
    metrics: panel.WalkMetrics
    coverage: Coverage | None
    adaptive_coverage: Coverage | None
    claim_p: float | None
    adjusted_claim_p: float | None
    distribution: DistributionMetrics | None = None

    def to_dict(self) -> dict[str, Any]:
        """The measures as nested plain dicts."""
        return {
            "ticker": self.ticker,
            "model": self.model,
            **self.metrics.to_dict(),
            "coverage": None if self.coverage is None else asdict(self.coverage),
            "adaptive_coverage": None if self.adaptive_coverage is None else asdict(self.adaptive_coverage),
            "claim_p": self.claim_p,
            "adjusted_claim_p": self.adjusted_claim_p,
            "distribution": None if self.distribution is None else self.distribution.to_dict(),
        }

    def row(self) -> dict[str, Any]:
        """The measures of a table; those of distributions are there where any are predicted."""
        kinds = {"coverage": self.coverage, "adaptive_coverage": self.adaptive_coverage}
        return {
            "ticker": self.ticker,
            "model": self.model,
            **self.metrics.measured.row(),
            "mase": self.metrics.mase,
            "diebold_mariano_prices_p": self.metrics.diebold_mariano_prices.p_value,
            "claim_p": self.claim_p,
            "adjusted_claim_p": self.adjusted_claim_p,
            "lag": self.metrics.lag,
            **{name: None if one is None else one.share for name, one in kinds.items()},
            **({} if self.distribution is None else self.distribution.row()),
        }


@dataclass(frozen=True, eq=False)
class Traded:
    """What one strategy did with one model's forecasts, and how good that was.

    Attributes
    ----------
    ticker : str
        `POOLED` for the portfolio of all tickers.
    model : str
        "" for buy and hold.
    strategy : str
        Of `STRATEGIES`.
    account : Account
    performance : Performance
    deflated : DeflatedSharpe or None
        None for buy and hold, and where there is no Sharpe ratio.
    """

    ticker: str
    model: str
    strategy: str
    account: Account
    performance: Performance
    deflated: DeflatedSharpe | None

    def to_dict(self) -> dict[str, Any]:
        """The performance as nested plain dicts, with the dates of the drawdown."""
        performed = self.performance.to_dict()
        drawdown = performed["drawdown"]
        for name in ("peak", "trough", "recovery"):
            drawdown[name] = None if drawdown[name] is None else self.account.dates[drawdown[name]]
        return {
            "ticker": self.ticker,
            "model": self.model,
            "strategy": self.strategy,
            "costs_bps": self.account.costs_bps,
            **performed,
            "deflated_sharpe": None if self.deflated is None else asdict(self.deflated),
        }

    def row(self) -> dict[str, Any]:
        """The performance of a table."""
        one, sharpe = self.performance, self.performance.sharpe
        return {
            "ticker": self.ticker,
            "model": self.model,
            "strategy": self.strategy,
            "costs_bps": self.account.costs_bps,
            "days": one.days,
            "total_return": one.total_return,
            "annualised_return": one.annualised_return,
            "volatility": one.volatility,
            "sharpe": None if sharpe is None else sharpe.annualised,
            "sharpe_standard_error": None if sharpe is None else sharpe.annualised_standard_error,
            "probabilistic_sharpe": None if sharpe is None else sharpe.probabilistic,
            "deflated_sharpe": None if self.deflated is None else self.deflated.probability,
            "max_drawdown": one.drawdown.depth,
            "turnover_per_year": one.turnover_per_year,
            "exposure": one.exposure,
            "trades": one.trades.counted,
            "trade_hit_rate": one.trades.rate,
        }

    def table(self) -> pd.DataFrame:
        """A row per day, by the date on which it ends."""
        held = self.account
        return pd.DataFrame(
            {
                "ticker": self.ticker,
                "model": self.model,
                "strategy": self.strategy,
                "date": held.dates[1:],
                "position": held.position,
                "turnover": held.turnover,
                "return": held.gross,
                "cost": held.cost,
                "equity": held.equity[1:],
            }
        )


def backtest(
    prices_by_ticker: Mapping[str, PriceSet | pd.DataFrame | pd.Series],
    config: BacktestConfig | None = None,
    client: "Client | None" = None,
    *,
    n_threads: int | None = None,
    progress: bool | Report | None = None,
) -> Backtest:
    """Walk forward through prices, refit in every fold, and measure: what `trendlstm backtest` does.

    Parameters
    ----------
    prices_by_ticker : mapping of str to DataFrame, Series or PriceSet
        From `load_prices`, or any other that `trendlstm.data.frames.price_table` takes. Not modified.
    config : BacktestConfig, optional
        Every setting. Default: those of the command.
    client : distributed.Client, optional
        Of the Dask cluster whose workers fit the folds. Default: threads of this process.
    n_threads : int, optional
        Default: all cores that the process may use. The result does not depend on it.
    progress : bool or callable, optional
        True shows a bar on a terminal (on standard error) or in a notebook. A function is told how far it is, see
        `BacktestProgress`, on this thread.

    Returns
    -------
    Backtest

    Raises
    ------
    OptionError, DataError
        The settings or prices cannot be used, or no ticker could be tested.
    """
    config = BacktestConfig() if config is None else config
    if not isinstance(config, BacktestConfig):
        raise OptionError(
            f"config must be a BacktestConfig, such as BacktestConfig(refit=5), but is a {type(config).__name__}."
        )
    if not isinstance(prices_by_ticker, Mapping) or not prices_by_ticker:
        raise OptionError(
            "prices_by_ticker must map tickers to their prices, as in {'MSFT': load_prices('MSFT')}, but is "
            f"{'empty' if isinstance(prices_by_ticker, Mapping) else f'a {type(prices_by_ticker).__name__}'}."
        )
    prices, unusable = {}, {}
    for ticker, table in prices_by_ticker.items():
        try:
            prices[ticker] = price_set(table, DataConfig(ticker=ticker), (*config.window.features, "Open"))
        except DataError as error:
            unusable[ticker] = str(error)
    planned, store = plan(prices, config), MemoryStore()
    planned = replace(planned, failures={**unusable, **planned.failures})
    with reporter(progress) as report:
        failures = run(planned, store, _engine(client, n_threads), report)
    return assess(planned, store, failures)


def _engine(client: "Client | None", n_threads: int | None) -> Engine:
    if client is None:
        return ThreadEngine(n_threads)
    from trendlstm.workflows.cluster import DaskEngine

    return DaskEngine(client)


def assess(planned: Planned, store: FoldStore, failures: Mapping[str, str]) -> Backtest:
    """Measure what the folds of a store have forecast.

    Parameters
    ----------
    planned : Planned
    store : FoldStore
        Has every fold of every ticker but those of `failures`.
    failures : mapping of str to str
        Tickers to leave out, and why.

    Returns
    -------
    Backtest

    Raises
    ------
    DataError
        No ticker is left.
    """
    config = planned.config
    failures = {**planned.failures, **failures}
    walked = [
        Walked.of(walk, store, config) for ticker, walk in planned.walks.items() if ticker not in failures
    ]
    if not walked:
        ticker, why = next(iter(failures.items()))
        others = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise DataError(f"No ticker could be tested. {ticker}{others}: {why}")
    measures = _measures(walked, config)
    evidence = _evidence(measures, config)
    accounts, trades_at = _accounts(walked, config)
    losses = {
        model: panel.losses_by_date([one.panel(model) for one in walked], 1)[1]
        for model in (*config.models, *BASELINES, "persistence")
    }
    assert config.gap is not None
    return Backtest(
        config=config,
        walks={one.walk.ticker: one.walk for one in walked},
        failures=failures,
        predictions=pd.concat(
            [one.predictions(model) for one in walked for model in one.forecasts], ignore_index=True
        ),
        members=pd.concat(
            [one.members(model) for one in walked for model in config.models], ignore_index=True
        ),
        measures=[_with_claim(one, evidence) for one in measures],
        accounts=accounts,
        confidence_set=model_confidence_set(losses),
        superior_ability=superior_ability(losses, "persistence"),
        evidence=evidence,
        verdict="\n".join(_verdict(model, evidence[model], accounts, config) for model in config.models),
        purged=config.gap,
        trades_at=trades_at,
        seconds=sum(one.seconds for one in walked),
    )


def _evidence(measures: Sequence[Measures], config: BacktestConfig) -> dict[str, BacktestEvidence]:
    """What the measures of step 1 say of every model."""
    by_ticker: dict[str, dict[str, panel.WalkMetrics]] = {}
    for one in measures:
        if one.metrics.measured.step == 1 and one.model in (*config.models, "drift"):
            by_ticker.setdefault(one.ticker, {})[one.model] = one.metrics
    pooled = by_ticker.pop(POOLED)
    return backtest_evidence(by_ticker, pooled if len(by_ticker) > 1 else None)


def _with_claim(one: Measures, evidence: Mapping[str, BacktestEvidence]) -> Measures:
    if one.model not in evidence or one.metrics.measured.step > 1:
        return one
    own = evidence[one.model]
    adjusted = own.p_value if one.ticker == POOLED else own.tickers[one.ticker]
    return replace(one, adjusted_claim_p=adjusted)


def _verdict(
    model: str, evidence: BacktestEvidence, accounts: Sequence[Traded], config: BacktestConfig
) -> str:
    """A model's paragraph; its strategy is long/flat with all tickers, at the costs of the settings."""
    own = {
        (one.model, one.strategy): one
        for one in accounts
        if one.ticker == POOLED and one.account.costs_bps == config.costs_bps
    }
    strategy, held = own[model, LONG_FLAT], own["", BUY_AND_HOLD]
    return backtest_verdict(
        evidence,
        strategy.performance,
        held.performance,
        strategy.deflated or DeflatedSharpe(None, None),
        config.costs_bps,
        f"the {MODELS[model].label}" if model in MODELS else f"the {model}",
    )


def _measures(walked: Sequence[Walked], config: BacktestConfig) -> list[Measures]:
    """By ticker and pooled, of every model and step."""
    stride = config.stride
    names = (*config.models, *BASELINES, "persistence")
    panels = {name: [one.panel(name) for one in walked] for name in names}
    groups: list[tuple[str, Sequence[int]]] = [(one.walk.ticker, [index]) for index, one in enumerate(walked)]
    groups.append((POOLED, range(len(walked))))
    measures = []
    for ticker, members in groups:
        by_model = {}
        for name in names:
            walks = [panels[name][index] for index in members]
            single = ticker != POOLED
            by_model[name] = (
                panel.measure_ticker(walks[0], stride) if single else panel.measure_pooled(walks, stride)
            )
        for name in names:
            for index, metrics in enumerate(by_model[name]):
                chosen = [walked[member] for member in members]
                distribution = _distribution(chosen, name, index, config)
                held = distribution.bands[0].counts if distribution else None
                claim = (
                    claim_p_value(metrics.measured, by_model["drift"][index].measured)
                    if name in config.models and index == 0
                    else None
                )
                measures.append(
                    Measures(
                        ticker=ticker,
                        model=name,
                        metrics=metrics,
                        coverage=held or _coverage(chosen, name, index, "split", stride),
                        adaptive_coverage=_coverage(chosen, name, index, "adaptive", stride),
                        claim_p=claim,
                        adjusted_claim_p=None,
                        distribution=distribution,
                    )
                )
    return measures


def _distribution(
    walked: Sequence[Walked], model: str, index: int, config: BacktestConfig
) -> DistributionMetrics | None:
    if model not in walked[0].scores:
        return None
    return measure_distributions(
        [one.dates[one.walk.origins] for one in walked],
        [one.scores[model][index] for one in walked],
        config.network.levels,
        config.network.loss == "gaussian",
        index + 1,
        config.stride,
    )


def _coverage(walked: Sequence[Walked], model: str, index: int, kind: str, stride: int) -> Coverage | None:
    if model not in walked[0].bands:
        return None
    return coverage_of_bands(
        [one.dates[one.walk.origins] for one in walked],
        [one.errors(model)[:, index] for one in walked],
        [getattr(one.bands[model][index], kind) for one in walked],
        index + 1,
        stride,
    )


def _accounts(walked: Sequence[Walked], config: BacktestConfig) -> tuple[list[Traded], dict[str, str]]:
    """Every strategy at every cost, by ticker and for the portfolio; and the prices at which it trades."""
    days = {(one.walk.ticker, model): one.holding_days(model) for one in walked for model in config.models}
    tickers = [one.walk.ticker for one in walked]
    every_day = {one.walk.ticker: one.walk.prices.provenance.calendar == EVERY_DAY for one in walked}
    variants = [(model, name) for model in config.models for name in STRATEGIES if name != BUY_AND_HOLD]
    traded = []
    for costs in cost_levels(config.costs_bps):
        by_ticker = {}
        for model, name in [*variants, (config.models[0], BUY_AND_HOLD)]:
            accounts = {ticker: account(days[ticker, model], name, costs) for ticker in tickers}
            label = "" if name == BUY_AND_HOLD else model
            for ticker in tickers:
                by_ticker[ticker, label, name] = accounts[ticker]
            by_ticker[POOLED, label, name] = portfolio(accounts)
        performed = {
            key: evaluate_account(one, 365 if every_day.get(key[0], all(every_day.values())) else 252)
            for key, one in by_ticker.items()
        }
        for group in (tickers, [POOLED]):
            # whoever picks the best line of a table has tried all its lines
            own = [key for key in by_ticker if key[0] in group and key[2] != BUY_AND_HOLD]
            sharpes = [performed[key].sharpe for key in own]
            variance = variance_of_variants([None if one is None else one.per_day for one in sharpes])
            tried = len(own) + config.trials_before
            for key, one in by_ticker.items():
                sharpe = performed[key].sharpe
                if key[0] in group:
                    deflated = deflated_sharpe(sharpe, tried, variance) if sharpe and key in own else None
                    traded.append(Traded(*key, one, performed[key], deflated))
    return traded, {ticker: days[ticker, config.models[0]].trades_at for ticker in tickers}
