"""Measures, tests of significance, bands and baselines for predicted prices: functions of arrays."""

from trendlstm.evaluation.baselines import drift, persistence, ridge
from trendlstm.evaluation.evidence import claims_evidence, detectable_skill, verdict
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
from trendlstm.evaluation.significance import (
    clark_west,
    correlation,
    diebold_mariano,
    holm,
    pesaran_timmermann,
)

__all__ = [
    "claims_evidence",
    "clark_west",
    "correlation",
    "detectable_skill",
    "diebold_mariano",
    "drift",
    "evaluate",
    "evaluate_path",
    "hit_rate",
    "holm",
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
