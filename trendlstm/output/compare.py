"""A comparison in words, tables and files: errors, gradients, conclusions."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import INITS
from trendlstm.evaluation.metrics import StepMetrics
from trendlstm.evaluation.significance import LEVEL, claims_evidence
from trendlstm.files import jsonable, write_csv, write_json
from trendlstm.nn.gradient_flow import QUANTITIES
from trendlstm.output.console import Console
from trendlstm.output.record import header
from trendlstm.output.wording import count, decimals, p_value
from trendlstm.workflows.compare import JACOBIAN_SAMPLES, STATES, Comparison, LagProfile, Spread, profile

NAMES = {"lstm": "LSTM", "rnn": "RNN", "ann": "ANN", "lstm1997": "LSTM 1997"}
TEXTBOOK_RNN, ORTHOGONAL_RNN = "RNN, uniform", "RNN, orthogonal"
DEFAULT_LSTM, CHRONO_LSTM = "LSTM, forget bias 1", "LSTM, chrono"
_PHRASES = {
    "LSTM, forget bias 0": "the LSTM with forget bias 0",
    "LSTM, forget bias 1": "the LSTM with forget bias 1",
    "LSTM, chrono": "the LSTM with chrono biases",
    "LSTM 1997": "the LSTM of 1997",
    **{f"RNN, {init}": f"the RNN with {init} weights" for init in INITS},
}


def comparison_sentence(comparison: "Comparison") -> str:
    """Which networks are trained, on what, and what they share."""
    networks = len(comparison.variants) * comparison.config.seeds
    shared = "hidden units" if comparison.match == "hidden" else "number of parameters (as nearly as can be)"
    train, validation, test = (f"{len(split.anchors):,}" for split in comparison.windows.splits)
    return (
        f"{networks} networks, {count(comparison.config.seeds, 'seed')} of each of {len(comparison.variants)} kinds, "
        f"with the same windows, dense layers, training and {shared}:\n"
        f"{train} windows of {count(comparison.windows.lag, 'session')} to train, {validation} to validate, {test} to "
        "test."
    )


def show_comparison(console: Console, comparison: "Comparison") -> None:
    """The errors of all models on the test rows, of the first and the last step, with what the columns mean."""
    horizon, seeds = comparison.windows.horizon, comparison.config.seeds
    digits = decimals(comparison.assessments["persistence"].ensemble[0].rmse, 4)
    rows = []
    for step in sorted({1, horizon}):
        for name, model in comparison.assessments.items():
            better = model.lstm_better[step - 1].p_value if model.lstm_better else None
            is_fitted = name != "persistence"
            rows.append([
                *([step] if horizon > 1 else []),
                model.variant.name if model.variant else name,
                model.variant and model.variant.networks[0].config.hidden_size,
                model.parameters if is_fitted else None,
                _spread(model.spread(lambda steps: steps.rmse, step), f",.{digits}f"),
                _spread(model.spread(lambda steps: steps.mae, step), f",.{digits}f"),
                _spread(model.spread(lambda steps: steps.skill, step) if is_fitted else None, "+.3f"),
                _spread(model.spread(lambda steps: _percent(steps.hit_rate.rate), step), ".1f"),
                p_value(model.ensemble[step - 1].diebold_mariano.p_value),
                p_value(better),
                f"{model.seconds:.2f}" if is_fitted else None,
            ])  # fmt: skip
    columns = ["Model", "Hidden", "Parameters", "RMSE", "MAE", "Skill", "Hit rate %", "DM p", "LSTM p"]
    console.table(
        f"How far the predictions of {count(comparison.assessments['lstm'].ensemble[0].n, 'test row')} were off",
        [*(["Step"] if horizon > 1 else []), *columns, "Seconds"],
        rows,
    )
    legend = [
        "RMSE, MAE: in the price's currency. Skill: 1 - RMSE / RMSE of persistence (tomorrow = today).",
        "DM p: Diebold-Mariano test of smaller errors than persistence; LSTM p: of the LSTM against this model.",
        "Seconds: to train one network on one thread.",
    ]
    if seeds > 1:
        legend.append(
            f"±: mean and standard deviation over {seeds} seeds; the p-values are of the seeds' mean output."
        )
    console.print("\n".join(legend))


def show_gradients(console: Console, comparison: "Comparison") -> None:
    """How much of the gradient is left at the oldest step, of every network before and after training."""
    rows = []
    for variant in comparison.recurrent:
        row: list[object] = [variant.name]
        for quantity in ("dloss_dh", "dloss_dc", "dh_dh", "dc_dc"):
            found = [profile(variant, state, quantity) for state in STATES]
            row += [one and f"{one.ratio:.2g}" for one in found]
            if quantity == "dloss_dh":
                row += [one and _half_life(one.half_life, comparison.windows.lag) for one in found]
        rows.append([*row, f"{variant.test_rmse:.4g}"])
    pairs = ["|dL/dh|", "half-life", "|dL/dc|", "dh/dh", "dc/dc"]
    console.table(
        f"What is left {count(comparison.longest_lag, 'step')} back of the last step's, before and after training",
        ["Network", *(heading for pair in pairs for heading in (pair, "after")), "Test RMSE"],
        rows,
    )
    over = f"Medians over {comparison.config.seeds} seeds. " if comparison.config.seeds > 1 else ""
    legend = [
        f"{over}LSTMs differ in the initial bias of the forget gate, RNNs in their initial weights.",
        "|dL/dh|, |dL/dc|: norm of the gradient by a state, mean over the training windows; half-life: steps to half.",
        f"dh/dh, dc/dc: spectral norm of the product of state Jacobians, {JACOBIAN_SAMPLES} windows, first seed.",
        "Test RMSE: one step ahead, mean over seeds.",
    ]
    console.print("\n".join(legend))


def _half_life(steps: float | None, lag: int) -> str:
    return f"≥{lag}" if steps is None else f"{steps:g}"


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _spread(spread: "Spread | None", style: str) -> str | None:
    if spread is None:
        return None
    mean = format(spread.mean, style)
    return mean if spread.sd is None else f"{mean} ± {format(spread.sd, style.lstrip('+'))}"


def conclusions(comparison: Comparison) -> list[str]:
    """Three sentences: who predicts better, who forgets before training, and who afterwards.

    Returns
    -------
    list of str
        Worded by the figures of `comparison` alone.
    """
    return [_on_errors(comparison), _before_training(comparison), _after_training(comparison)]


def _on_errors(comparison: Comparison) -> str:
    found = comparison.assessments
    n = found["lstm"].ensemble[0].n
    errors = {name: float(np.mean([steps[0].rmse for steps in one.singles])) for name, one in found.items()}
    best = min(errors, key=lambda name: errors[name])
    better = [
        display_name(name)
        for name, one in found.items()
        if claims_evidence(one.ensemble[0].skill, one.ensemble[0].diebold_mariano)
    ]
    beaten = [
        display_name(name)
        for name, one in found.items()
        if one.lstm_better and one.lstm_better[0].p_value is not None and one.lstm_better[0].p_value < LEVEL
    ]
    others = ", ".join(f"{display_name(name)} {error:,.4g}" for name, error in errors.items() if name != best)
    against = f"{_listed(better)} {'beats' if len(better) == 1 else 'beat'}" if better else "no model beats"
    versus = _listed(beaten) if beaten else "none of the others"
    return (
        f"On {n} test day{'' if n == 1 else 's'} {display_name(best)} has the smallest one-step RMSE, "
        f"{errors[best]:,.4g} ({others}); by the Diebold-Mariano test (p < {LEVEL}) {against} persistence (tomorrow = "
        f"today), and the LSTM beats {versus}."
    )


def _before_training(comparison: Comparison) -> str:
    kept = _ratios(comparison, "initial")
    textbook, chrono = kept[TEXTBOOK_RNN], kept[CHRONO_LSTM]
    orthogonal, default = kept[ORTHOGONAL_RNN], kept[DEFAULT_LSTM]
    return (
        f"Before training, {comparison.longest_lag} steps back |dL/dh| is {textbook:.2g} of what it is at the last "
        f"step in the RNN with uniform weights and {chrono:.2g} in the LSTM with chrono biases, "
        f"{'as the textbook says' if textbook < chrono else 'which is not what the textbook says'}; "
        f"{'and' if orthogonal < default else 'but'} the RNN with orthogonal weights ({orthogonal:.2g}) forgets "
        f"{_than(orthogonal, default)} the LSTM with forget bias 1 ({default:.2g})."
    )


def _after_training(comparison: Comparison) -> str:
    before, after = _ratios(comparison, "initial"), _ratios(comparison, "trained")
    longest = max(after, key=lambda name: after[name])
    errors = {variant.name: variant.test_rmse for variant in comparison.recurrent}
    best = min(errors, key=lambda name: errors[name])
    changes = " and ".join(
        f"from {before[name]:.2g} to {after[name]:.2g} in {_PHRASES[name]}"
        for name in (DEFAULT_LSTM, ORTHOGONAL_RNN)
    )
    if best == longest:
        forecast = (
            "and has the smallest test error: on these prices the longest memory gave the best forecast"
        )
    else:
        forecast = (
            f"but {_PHRASES[best]} ({after[best]:.2g}) has the smallest test error: on these prices the longest memory "
            "did not give the best forecast"
        )
    return (
        f"Training took this share {changes}; of all {len(after)} kinds {_PHRASES[longest]} now keeps most "
        f"({after[longest]:.2g}), {forecast}. The long-lag tasks (trendlstm reproduce) test memory itself."
    )


def _ratios(comparison: Comparison, state: str) -> dict[str, float]:
    """The median of |dL/dh| at the longest lag over the last step's, by variant; NaN where it is not defined."""
    profiles = {variant.name: profile(variant, state, "dloss_dh") for variant in comparison.recurrent}
    return {name: np.nan if one is None else one.ratio for name, one in profiles.items()}


def display_name(model: str) -> str:
    """How tables and figures call a model."""
    return NAMES.get(model, model)


def _than(one: float, other: float) -> str:
    return "as much as" if one == other else f"{'less' if one > other else 'more'} than"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def write_comparison(folder: Path, comparison: Comparison) -> dict[str, Any]:
    """Write `compare.json` and `compare.csv`, a row for each model and step, into an existing folder.

    Returns
    -------
    dict
        The content of `compare.json`.
    """
    document = jsonable(_describe(comparison))
    write_json(folder / "compare.json", document)
    write_csv(folder / "compare.csv", _table(comparison))
    return document


_MEASURES: dict[str, Callable[[StepMetrics], float | None]] = {
    "rmse": lambda steps: steps.rmse,
    "mae": lambda steps: steps.mae,
    "skill": lambda steps: steps.skill,
    "hit_rate": lambda steps: steps.hit_rate.rate,
}


def _table(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for name, one in comparison.assessments.items():
        for step, together in enumerate(one.ensemble, start=1):
            row: dict[str, Any] = {"model": name, "step": step}
            for measure, of in _MEASURES.items():
                spread = one.spread(of, step)
                row |= {measure: spread and spread.mean, f"{measure}_sd": spread and spread.sd}
            rows.append(
                row
                | {
                    "dm_p_against_persistence": together.diebold_mariano.p_value,
                    "dm_p_of_lstm_against_it": one.lstm_better[step - 1].p_value if one.lstm_better else None,
                    "parameters": one.parameters,
                    "seconds": one.seconds,
                }
            )
    return pd.DataFrame(rows)


def _describe(comparison: Comparison) -> dict[str, Any]:
    baselines = list(comparison.models)[1:]
    settings = {**comparison.config.to_dict(), "baselines": baselines, "match": comparison.match}
    return {
        **header(settings, comparison.config.device, comparison.seconds, comparison.provenance),
        "samples": {split.name: len(split.anchors) for split in comparison.windows.splits},
        "models": {
            name: {
                "network": one.variant and one.variant.networks[0].config.to_dict(),
                "parameters": one.parameters,
                "seconds": one.seconds,
                "steps": [
                    {
                        "step": step,
                        **{measure: asdict(spread) if (spread := one.spread(of, step)) else None
                           for measure, of in _MEASURES.items()},
                        "ensemble": together.to_dict(),
                        "lstm_better": asdict(one.lstm_better[step - 1]) if one.lstm_better else None,
                    }
                    for step, together in enumerate(one.ensemble, start=1)
                ],
            }
            for name, one in comparison.assessments.items()
        },
        "gradients": {
            variant.name: {
                "network": variant.networks[0].config.to_dict(),
                "test_rmse": variant.test_rmse,
                "best_epochs": [history.kept_epoch for history in variant.histories],
                **{
                    state: {quantity: _describe_profile(profile(variant, state, quantity)) for quantity in QUANTITIES}
                    for state in STATES
                },
            }
            for variant in comparison.recurrent
        },
        "conclusions": conclusions(comparison),
    }  # fmt: skip


def _describe_profile(one: LagProfile | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "at_last_step": one.first,
        "relative": one.relative,
        "half_life": one.half_life,
        "ratio": one.ratio,
        "ratio_by_seed": one.ratios,
    }
