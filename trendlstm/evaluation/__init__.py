"""Measures, tests of significance, bands and baselines for predicted prices: functions of arrays."""

from trendlstm.evaluation.baselines import drift, persistence, ridge
from trendlstm.evaluation.metrics import (
    evaluate,
    hit_rate,
    lag_check,
    mae,
    mape,
    rmse,
    skill,
    wilson_interval,
)
from trendlstm.evaluation.significance import (
    claims_evidence,
    diebold_mariano,
    holm,
    pesaran_timmermann,
    verdict,
)

__all__ = [
    "claims_evidence",
    "diebold_mariano",
    "drift",
    "evaluate",
    "hit_rate",
    "holm",
    "lag_check",
    "mae",
    "mape",
    "persistence",
    "pesaran_timmermann",
    "ridge",
    "rmse",
    "skill",
    "verdict",
    "wilson_interval",
]
