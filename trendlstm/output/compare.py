"""A comparison in words, tables and files: errors, gradients, conclusions."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.config import PLAIN_LSTM
from trendlstm.evaluation.metrics import StepMetrics
from trendlstm.evaluation.significance import LEVEL, Difference, separation
from trendlstm.files import jsonable, write_csv, write_json
from trendlstm.formats import figure, p_value
from trendlstm.nn.gradient_flow import QUANTITIES
from trendlstm.output.console import Console
from trendlstm.output.record import header
from trendlstm.output.tables import Table
from trendlstm.output.wording import count, decimals, dropout_phrases, hidden_units
from trendlstm.workflows.compare import (
    JACOBIAN_SAMPLES,
    STATES,
    Comparison,
    LagProfile,
    Prepared,
    predictions,
)
from trendlstm.workflows.variants import MODELS

# The pairs that the conclusions are about: the lecture notes' demonstration, and the defaults of both cells.
_TEXTBOOK_RNN, _CHRONO_LSTM = "rnn-uniform", "lstm-chrono"
_DEFAULT_RNN, _DEFAULT_LSTM = "rnn-orthogonal", "lstm-bias-1"


def comparison_sentence(prepared: Prepared) -> str:
    """Which networks are trained, on what, and what they share."""
    seeds, kinds, windows = prepared.config.train.seeds, len(prepared.variants), prepared.windows
    shared = (
        "hidden units" if prepared.config.match == "hidden" else "number of parameters (as nearly as can be)"
    )
    train, validation, test = (f"{len(split.anchors):,}" for split in windows.splits)
    return (
        f"{kinds * seeds} networks, {count(seeds, 'seed')} of each of {kinds} kinds, with the same windows, dense "
        f"layers, training and {shared}:\n{train} windows of {count(windows.lag, 'session')} to train, {validation} to "
        f"validate, {test} to test."
    )


def show_comparison(console: Console, comparison: Comparison) -> None:
    """The errors of all models on the test rows, of the first and the last step, with what the columns mean."""
    models = {name: _describe_model(comparison, name) for name in comparison.models}
    console.show(errors_table(jsonable(models), comparison.prepared.config.train.seeds))


def errors_table(models: Mapping[str, Any], seeds: int) -> Table:
    """The errors of all models on the test rows, of the first and the last step.

    Parameters
    ----------
    models : mapping
        `models` of `compare.json`.
    seeds : int
        Networks of every kind.
    """
    horizon = len(models["lstm"]["steps"])
    digits = decimals(models["persistence"]["steps"][0]["ensemble"]["rmse"], 4)
    rows = []
    for step in sorted({1, horizon}):
        for name, model in models.items():
            found = model["steps"][step - 1]
            claim, difference = found["claim_p_holm"], found["lstm_differs"]
            is_fitted = name != "persistence"
            rows.append(
                [
                    model_label(name, model),
                    *([step] if horizon > 1 else []),
                    model["network"] and hidden_units(model["network"]),
                    model["parameters"] if is_fitted else None,
                    _spread(found["rmse"], f",.{digits}f"),
                    _spread(found["mae"], f",.{digits}f"),
                    _spread(found["skill"] if is_fitted else None, "+.3f"),
                    _spread(found["hit_rate"], ".1f", 100),
                    p_value(claim),
                    p_value(difference and difference["p_value_holm"]),
                    f"{model['seconds']:.2f}" if is_fitted else None,
                ]
            )
    first = [model["steps"][0] for model in models.values()]
    tested = sum(found["claim_p"] is not None for found in first)
    rivals = sum(found["lstm_differs"] is not None for found in first)
    legend = [
        "RMSE, MAE: in the price's currency. Skill: 1 - RMSE / RMSE of persistence (tomorrow = today).",
        "Claim p: of knowing more than persistence, the larger of Clark-West and correlation; 1 where the errors are",
        "not below those of persistence and drift. LSTM p: of errors that differ from the LSTM's, by Diebold-Mariano.",
        f"Both are adjusted by Holm for {tested} models and {rivals} pairs; the raw ones are in compare.json.",
        "Seconds: to train one network on one thread.",
    ]
    if seeds > 1:
        legend.append(
            f"±: mean and standard deviation over {seeds} seeds; the p-values are of the seeds' mean output."
        )
    columns = ["Hidden", "Parameters", "RMSE", "MAE", "Skill", "Hit rate %", "Claim p", "LSTM p", "Seconds"]
    return Table(
        f"How far the predictions of {count(models['lstm']['steps'][0]['ensemble']['n'], 'test row')} were off",
        ["Model", *(["Step"] if horizon > 1 else []), *columns],
        rows,
        legend,
        text=("Step",),
    )


def show_gradients(console: Console, comparison: Comparison) -> None:
    """How much of the gradient is left at the oldest step, of every network before and after training."""
    prepared = comparison.prepared
    gradients = jsonable(_describe_gradients(comparison))
    console.show(gradients_table(gradients, prepared.config.train.seeds, prepared.longest_lag))


def gradients_table(gradients: Mapping[str, Any], seeds: int, lag: int) -> Table:
    """How much of the gradient is left at the oldest step, of every network before and after training.

    Parameters
    ----------
    gradients : mapping
        `gradients` of `compare.json`.
    seeds : int
        Networks of every kind.
    lag : int
        The oldest step.
    """
    rows = []
    for label, one in gradients.items():
        row: list[object] = [label]
        for quantity in ("dloss_dh", "dloss_dc", "dh_dh", "dc_dc"):
            found = [one[state][quantity] for state in STATES]
            row += [figure(each and each["ratio"], ".2g") for each in found]
            if quantity == "dloss_dh":
                row += [figure(each and each["kept_per_step"], ".3f") for each in found]
        rows.append([*row, f"{one['test_rmse']:.4g}"])
    pairs = ["|dL/dh|", "a step", "|dL/dc|", "dh/dh", "dc/dc"]
    over = f"Medians over {seeds} seeds. " if seeds > 1 else ""
    legend = [
        f"{over}LSTMs differ in the initial bias of the forget gate, RNNs in their initial weights.",
        "|dL/dh|, |dL/dc|: norm of the gradient by a state, mean over the training windows.",
        f"a step: what each step keeps of |dL/dh|, the geometric mean from 1 to {lag} steps back. The first step back",
        "is left out: it costs an LSTM most, because the head reads the last h, but only gates the one before.",
        f"dh/dh, dc/dc: spectral norm of the product of state Jacobians, {JACOBIAN_SAMPLES} windows, first seed.",
        "Test RMSE: one step ahead, mean over seeds.",
    ]
    if any(one["network"].get("layers", 1) > 1 for one in gradients.values()):
        legend.append("States and gradients of several layers are those of the top one.")
    return Table(
        f"What is left {count(lag, 'step')} back of the last step's, before and after training",
        ["Network", *(heading for pair in pairs for heading in (pair, "after")), "Test RMSE"],
        rows,
        legend,
    )


def model_label(name: str, model: Mapping[str, Any]) -> str:
    """What tables call a model of `compare.json`; older files have no labels."""
    return model.get("label", MODELS[name].label)


def _spread(spread: Mapping[str, Any] | None, style: str, times: float = 1) -> str | None:
    if spread is None:
        return None
    mean, sd = spread["mean"], spread["sd"]
    text = format(times * mean, style)
    return text if sd is None else f"{text} ± {format(times * sd, style.lstrip('+'))}"


def conclusions(comparison: Comparison) -> list[str]:
    """What may be said: of the errors, of the gradients before training, and of those afterwards.

    Parameters
    ----------
    comparison : Comparison

    Returns
    -------
    list of str
        Three entries of a few sentences. A difference is said only where a test supports it (of errors) or no seed
        contradicts it (of gradients); else the two "cannot be told apart".
    """
    return [_on_errors(comparison), _before_training(comparison), _after_training(comparison)]


def _on_errors(comparison: Comparison) -> str:
    models = comparison.models
    n, seeds = models["lstm"].ensemble[0].n, comparison.prepared.config.train.seeds
    over = f", mean over {seeds} seeds," if seeds > 1 else ""
    errors = _listed([f"{model.rmse:,.4g} ({MODELS[name].label})" for name, model in models.items()])
    better = [MODELS[name].label for name in comparison.better_than_persistence]
    if better:
        evidence = f"evidence that {_listed(better)} {'knows' if len(better) == 1 else 'know'}"
    else:
        evidence = "no evidence that any model knows"
    names = {name: MODELS[name].label for name in models}
    told = _told_apart(comparison.lstm_differences[0], names)
    is_noise = told[-1] and "lstm" not in comparison.better_than_persistence
    doubt = "; without evidence against persistence, smaller errors may be less noise and no knowledge"
    return (
        f"On {count(n, 'test day')} the one-step RMSE{over} is {errors}. There is {evidence} more than persistence "
        f"(tomorrow = today), and the LSTM's errors {_errors_phrase(told)}{doubt if is_noise else ''}."
        + (f" {_on_layers(comparison)}" if PLAIN_LSTM in models else "")
    )


def _on_layers(comparison: Comparison) -> str:
    """What more layers or dropout have changed on the test days, and what they cost."""
    network, difference = comparison.prepared.config.train.network, comparison.lstm_differences[0][PLAIN_LSTM]
    layers = [] if network.layers == 1 else [count(network.layers, "layer")]
    more = _listed([*layers, *dropout_phrases(network.to_dict())])
    told = _errors_phrase(_told_apart({PLAIN_LSTM: difference}, {PLAIN_LSTM: "the plain 1-layer LSTM"}))
    tested = "" if difference.adjusted is None else f" (p = {p_value(difference.adjusted)} after Holm)"
    lstm, plain = (
        f"{one.rmse:,.4g} ({one.parameters:,} parameters, {one.seconds:.2f} s to train)"
        for one in (comparison.models["lstm"], comparison.models[PLAIN_LSTM])
    )
    return f"With {more} the errors on these days {told}{tested}: RMSE {lstm} against {plain}."


def _told_apart(found: dict[str, Difference], names: dict[str, str]) -> dict[int, list[str]]:
    """The names of the others by the sign of the difference."""
    return {sign: [names[name] for name, one in found.items() if one.sign == sign] for sign in (-1, 1, 0)}


def _errors_phrase(told: dict[int, list[str]]) -> str:
    """What some errors are, beside those of others."""
    words = {-1: "are smaller than", 1: "are larger than", 0: "cannot be told apart from"}
    return _listed([f"{words[sign]} those of {_listed(names)}" for sign, names in told.items() if names])


def _before_training(comparison: Comparison) -> str:
    prepared = comparison.prepared
    seeds, back = count(prepared.config.train.seeds, "seed"), count(prepared.longest_lag, "step")
    shares = {key: comparison.gradients["initial"].shares(key) for key in _phrases(comparison)}
    measured = {key: f"{_median(shares[key])} in {phrase}" for key, phrase in _phrases(comparison).items()}
    textbook = {
        -1: "less with every seed, as the textbook says",
        1: "more with every seed, which is not what the textbook says",
        0: f"which {seeds} cannot tell apart",
    }[separation(shares[_TEXTBOOK_RNN], shares[_CHRONO_LSTM])]
    defaults = {
        -1: "less with every seed than",
        1: "more with every seed than",
        0: f"which {seeds} cannot tell apart from",
    }[separation(shares[_DEFAULT_RNN], shares[_DEFAULT_LSTM])]
    return (
        f"Before training, |dL/dh| {back} back, as a share of the last step's, is {measured[_TEXTBOOK_RNN]} and "
        f"{measured[_CHRONO_LSTM]}, {textbook}. It is {measured[_DEFAULT_RNN]}, {defaults} {measured[_DEFAULT_LSTM]}."
    )


def _after_training(comparison: Comparison) -> str:
    phrases, memory = _phrases(comparison), comparison.memory
    before, after = ({key: comparison.gradients[state].shares(key) for key in phrases} for state in STATES)
    changes = []
    for key in (_DEFAULT_LSTM, _DEFAULT_RNN):
        raised = sum(new > old for old, new in zip(before[key], after[key], strict=False))
        changes.append(
            f"with {raised} of {count(len(after[key]), 'seed')} in {phrases[key]} (median {_median(before[key])} "
            f"before, {_median(after[key])} after)"
        )
    share = f"Of all {len(phrases)} kinds {phrases[memory.longest]} now keeps most ({_median(after[memory.longest])})"
    if memory.peers:
        seeds = count(comparison.prepared.config.train.seeds, "seed")
        share += f", but {seeds} cannot tell it apart from {_listed([phrases[key] for key in memory.peers])}"
    else:
        share += ", with every seed more than any other"
    told = _told_apart(memory.differences, phrases)
    if told[-1] or told[1]:
        errors = _errors_phrase(told)
    else:
        errors = "cannot be told apart from those of any other: on these prices no use of a long memory can be seen"
    return (
        f"Training raised this share {_listed(changes)}. {share}. Its one-step test errors {errors}. The long-lag "
        "tasks (trendlstm reproduce) test memory itself."
    )


def _phrases(comparison: Comparison) -> dict[str, str]:
    """What a sentence calls the kinds of the gradient table, by key."""
    return {variant.kind.key: variant.kind.phrase for variant in comparison.prepared.recurrent}


def _median(shares: Sequence[float]) -> str:
    return f"{np.median(shares):.2g}" if shares else "not defined"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def write_comparison(folder: Path, comparison: Comparison) -> dict[str, Any]:
    """Write a comparison's tables into an existing folder.

    `compare.json`; `compare.csv`, a row for each model and step; `predictions.csv`, see `compare.predictions`.

    Parameters
    ----------
    folder : Path
    comparison : Comparison

    Returns
    -------
    dict
        The content of `compare.json`.
    """
    document = jsonable(_describe(comparison))
    write_json(folder / "compare.json", document)
    write_csv(folder / "compare.csv", _table(comparison))
    write_csv(folder / "predictions.csv", predictions(comparison))
    return document


_MEASURES: dict[str, Callable[[StepMetrics], float | None]] = {
    "rmse": lambda steps: steps.rmse,
    "mae": lambda steps: steps.mae,
    "skill": lambda steps: steps.skill,
    "hit_rate": lambda steps: steps.hit_rate.rate,
}


def _table(comparison: Comparison) -> pd.DataFrame:
    rows = []
    for name, one in comparison.models.items():
        for step, together in enumerate(one.ensemble, start=1):
            row: dict[str, Any] = {"model": name, "step": step}
            for measure, of in _MEASURES.items():
                spread = one.spread(of, step)
                row |= {measure: spread and spread.mean, f"{measure}_sd": spread and spread.sd}
            better = comparison.lstm_better(name, step)
            claim = comparison.claims[step - 1].get(name)
            difference = comparison.lstm_differences[step - 1].get(name)
            rows.append(
                row
                | {
                    "dm_p_against_persistence": together.diebold_mariano.p_value,
                    "dm_p_of_lstm_against_it": better and better.p_value,
                    "claim_p": claim and claim.p_value,
                    "claim_p_holm": claim and claim.adjusted,
                    "dm_p_differs_from_lstm": difference and difference.p_value,
                    "dm_p_differs_from_lstm_holm": difference and difference.adjusted,
                    "parameters": one.parameters,
                    "seconds": one.seconds,
                }
            )
    return pd.DataFrame(rows)


def _describe(comparison: Comparison) -> dict[str, Any]:
    prepared = comparison.prepared
    train = prepared.config.train
    return {
        **header(
            prepared.config.to_dict(), train.device, comparison.seconds, prepared.prices.provenance.to_dict()
        ),
        "samples": {split.name: len(split.anchors) for split in prepared.windows.splits},
        "tests": {"level": LEVEL, "adjustment": "Holm"},
        "models": {name: _describe_model(comparison, name) for name in comparison.models},
        "gradients": _describe_gradients(comparison),
        "longest_memory": {
            "key": comparison.memory.longest,
            "cannot_be_told_apart_from": comparison.memory.peers,
        },
        "conclusions": conclusions(comparison),
    }


def _describe_model(comparison: Comparison, name: str) -> dict[str, Any]:
    variant, one = comparison.prepared.models[name], comparison.models[name]
    return {
        "label": MODELS[name].label if variant is None else variant.kind.label,
        "network": variant and variant.networks[0].config.to_dict(),
        "parameters": one.parameters,
        "seconds": one.seconds,
        "steps": [
            {
                "step": step,
                **{
                    measure: asdict(spread) if (spread := one.spread(of, step)) else None
                    for measure, of in _MEASURES.items()
                },
                "ensemble": together.to_dict(),
                "claim_p": (claim := comparison.claims[step - 1].get(name)) and claim.p_value,
                "claim_p_holm": claim and claim.adjusted,
                "lstm_better": (better := comparison.lstm_better(name, step)) and asdict(better),
                "lstm_differs": _describe_difference(comparison.lstm_differences[step - 1].get(name)),
            }
            for step, together in enumerate(one.ensemble, start=1)
        ],
    }


def _describe_gradients(comparison: Comparison) -> dict[str, Any]:
    return {
        variant.kind.label: {
            "key": variant.kind.key,
            "network": variant.networks[0].config.to_dict(),
            "test_rmse": comparison.kinds[variant.kind.key].rmse,
            "longest_memory_differs": _describe_difference(
                comparison.memory.differences.get(variant.kind.key)
            ),
            "best_epochs": [history.best_epoch for history in comparison.fits.histories[variant.kind.key]],
            **{
                state: {
                    quantity: _describe_profile(
                        comparison.gradients[state].profile(variant.kind.key, quantity)
                    )
                    for quantity in QUANTITIES
                }
                for state in STATES
            },
        }
        for variant in comparison.prepared.recurrent
    }


def _describe_difference(one: Difference | None) -> dict[str, Any] | None:
    if one is None:
        return None
    words = {-1: "smaller", 1: "larger", 0: "cannot be told apart"}
    return {"p_value": one.p_value, "p_value_holm": one.adjusted, "errors": words[one.sign]}


def _describe_profile(one: LagProfile | None) -> dict[str, Any] | None:
    if one is None:
        return None
    return {
        "at_last_step": one.first,
        "relative": one.relative,
        "half_life": one.half_life,
        "kept_per_step": np.median(one.kept_per_step),
        "ratio": one.ratio,
        "ratio_by_seed": one.ratios,
        "kept_per_step_by_seed": one.kept_per_step,
    }
