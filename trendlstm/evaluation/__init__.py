"""Measures, tests, bands and baselines for predicted prices, and what trading on them earns: functions of arrays."""

from trendlstm.evaluation.backtest_evidence import backtest_evidence, backtest_verdict
from trendlstm.evaluation.baselines import drift, persistence, ridge
from trendlstm.evaluation.evidence import claims_evidence, detectable_skill, verdict
from trendlstm.evaluation.many_models import model_confidence_set, superior_ability
from trendlstm.evaluation.metrics import (
    evaluate,
    evaluate_path,
    hit_rate,
    mae,
    mape,
    rmse,
    skill,
    wilson_interval,
)
from trendlstm.evaluation.panel import TickerForecasts, measure_pooled, measure_ticker, naive_scale
from trendlstm.evaluation.performance import evaluate_account, max_drawdown
from trendlstm.evaluation.sharpe import deflated_sharpe, probabilistic_sharpe, sharpe_ratio
from trendlstm.evaluation.significance import (
    benjamini_hochberg,
    clark_west,
    correlation,
    diebold_mariano,
    diebold_mariano_prices,
    holm,
    pesaran_timmermann,
)
from trendlstm.evaluation.trading import account, holding_days, portfolio
from trendlstm.evaluation.walk_bands import coverage_of_bands, walk_bands

__all__ = [
    "TickerForecasts",
    "account",
    "backtest_evidence",
    "backtest_verdict",
    "benjamini_hochberg",
    "claims_evidence",
    "clark_west",
    "correlation",
    "coverage_of_bands",
    "deflated_sharpe",
    "detectable_skill",
    "diebold_mariano",
    "diebold_mariano_prices",
    "drift",
    "evaluate",
    "evaluate_account",
    "evaluate_path",
    "hit_rate",
    "holding_days",
    "holm",
    "mae",
    "mape",
    "max_drawdown",
    "measure_pooled",
    "measure_ticker",
    "model_confidence_set",
    "naive_scale",
    "persistence",
    "pesaran_timmermann",
    "portfolio",
    "probabilistic_sharpe",
    "ridge",
    "rmse",
    "sharpe_ratio",
    "skill",
    "superior_ability",
    "verdict",
    "walk_bands",
    "wilson_interval",
]
