"""The folder of a run: weights, settings, provenance, figures and tables; there whole or not at all."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from trendlstm.config import TrainConfig
from trendlstm.data.frames import price_set
from trendlstm.data.price_level import PriceLevel
from trendlstm.data.prices import PriceSet
from trendlstm.data.windows import Scaler, Windows
from trendlstm.errors import OptionError, RunError
from trendlstm.evaluation.distributions import QuantileBand
from trendlstm.evaluation.evidence import tries_sentence
from trendlstm.evaluation.intervals import DECAY, NOMINAL, Band
from trendlstm.evaluation.metrics import StepMetrics
from trendlstm.files import (
    HELD_FILE,
    collect_leftovers,
    hidden_beside,
    hold_folder,
    jsonable,
    let_go,
    replace_file,
    write_csv,
    write_json,
)
from trendlstm.nn.network import Network, load_with_extra
from trendlstm.notebook import as_html
from trendlstm.output.fold_file import NAME as FOLD_FILE
from trendlstm.output.model_card import hub_config, model_card
from trendlstm.output.record import header
from trendlstm.output.wording import cell_phrase, quantiles_phrase
from trendlstm.workflows.forecast import (
    AnyBand,
    Forecaster,
    at_level_of,
    forecast_later,
    past_and_future,
)
from trendlstm.workflows.train import Assessment, Result, errors_table, kept_loss, metrics_table

# What other commands write, by the file that tells; the first of them stands beside a run.json.
_KEEP_NO_MODEL = {
    FOLD_FILE: "a backtest",
    "compare.json": "a comparison",
    "reproduce.json": "an experiment",
}


class RunFolder:
    """A run's folder while it is made: files go to a hidden folder beside it, renamed to its name at the end.

    Entered as a context it makes the hidden folder and collects what killed runs have left beside it; left by an
    exception it removes the hidden folder with all that is in it.

    Parameters
    ----------
    path : str or Path or None
        The folder to make; None for `runs/TICKER-YYYYMMDD-HHMMSS`.
    ticker : str
        For the default name.

    Raises
    ------
    OptionError
        The folder exists already.
    """

    def __init__(self, path: str | Path | None, ticker: str) -> None:
        self.path = Path("runs") / f"{ticker}-{datetime.now():%Y%m%d-%H%M%S}" if path is None else Path(path)
        self._is_default = path is None
        if not self._is_default and os.path.lexists(self.path):
            raise OptionError(f"{self.path} exists already: choose another folder, or remove it first.")

    def __enter__(self) -> Self:
        # beside the path as the system sees it: "." and "x/.." have no name to put a dot before
        self.stage = hidden_beside(Path(os.path.abspath(self.path)))
        try:
            self.stage.parent.mkdir(parents=True, exist_ok=True)
            collect_leftovers(self.stage.parent)
            self.stage.mkdir()
            self._held = hold_folder(self.stage)
        except OSError as error:
            place = "change to a folder that can be written" if self._is_default else "choose another place"
            raise RunError(f"the folder {self.path} cannot be made ({error.strerror}): {place}.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._held.close()
        if kind is not None:
            shutil.rmtree(self.stage, ignore_errors=True)

    def publish(self) -> Path:
        """Give the folder its name, with a number behind it if that was taken meanwhile."""
        let_go(self._held)
        (self.stage / HELD_FILE).unlink()
        wanted, attempt = self.path, 1
        while os.path.lexists(self.path):
            attempt += 1
            self.path = wanted.with_name(f"{wanted.name}-{attempt}")
        os.rename(self.stage, self.path)
        return self.path


def count_earlier_tries(runs: Path, ticker: str, result: float) -> int:
    """Count the different results that the runs in a folder had for a ticker.

    A run that was repeated with the same settings and prices has the same result, and is no other try.

    Parameters
    ----------
    runs : Path
        The folder with the runs' folders; what is no run, or a damaged one, is passed over.
    ticker : str
    result : float
        The model's one-step RMSE on the test rows of the run that asks; runs that share it are not counted.

    Returns
    -------
    int
    """
    results = set()
    for path in runs.glob("[!.]*/run.json"):
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["settings"]["data"]["ticker"] == ticker:
                results.add(float(document["metrics"]["test"]["model"][0]["rmse"]))
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return len(results - {result})


def write_run(folder: Path, result: Result) -> dict[str, Any]:
    """Write weights, tables and `run.json` of a result, as far as it went, into an existing folder.

    `config.json` and `README.md`, the model card, are what a model hub reads of it.

    Parameters
    ----------
    folder : Path
    result : Result

    Returns
    -------
    dict
        The content of `run.json`.
    """
    _write_weights(folder, "model", result.forecaster, result.config)
    if result.final is not None:
        _write_weights(folder, "final", result.final, result.config)
    write_csv(folder / "history.csv", _history_table(result))
    write_csv(folder / "inputs.csv", _inputs_table(result.windows))
    if result.assessment is not None:
        write_csv(folder / "predictions.csv", result.assessment.predictions)
    if result.forecast is not None:
        windows = result.windows
        rows = windows.train_rows, windows.train_rows + windows.validation_rows, len(windows.dates)
        ends = {split.name: windows.dates[stop - 1] for split, stop in zip(windows.splits, rows, strict=True)}
        table = past_and_future(result.forecaster, windows.prices, ends, result.forecast)
        write_csv(folder / "forecast.csv", table)
    tries = _describe_tries(folder.absolute().parent, result)
    document = jsonable({"status": result.status, **_describe(result), **tries})
    write_json(folder / "config.json", hub_config(document))
    card = model_card(document).encode()
    replace_file(folder / "README.md", lambda file: file.write(card))
    write_json(folder / "run.json", document)
    return document


def _describe(result: Result) -> dict[str, Any]:
    network = result.forecaster.networks[0]
    windows = result.windows
    provenance = result.prices.provenance.to_dict()
    return {
        **header(result.config.to_dict(), result.config.device, result.seconds, provenance),
        "parameters": network.num_params,
        "rows": {
            "train": windows.train_rows,
            "validation": windows.validation_rows,
            "test": len(windows.close) - windows.train_rows - windows.validation_rows,
        },
        "samples": {split.name: len(split.anchors) for split in windows.splits},
        "learned_until": (result.final or result.forecaster).learned_until,
        "fits": describe_fits(result),
        **describe_assessment(result.assessment),
        "forecast": [] if result.forecast is None else result.forecast.to_dict("records"),
    }


def describe_fits(result: Result) -> list[dict[str, Any]]:
    """How the training of every network went: `fits` of `run.json`."""
    return [
        {
            "seed": network.config.seed,
            "epochs_run": history.epochs_run,
            "best_epoch": history.best_epoch,
            "validation_loss": kept_loss(history),
            "stopped": history.stopped,
        }
        for network, history in zip(result.forecaster.networks, result.histories, strict=True)
    ]


def describe_assessment(assessment: Assessment | None) -> dict[str, Any]:
    """What was measured, as `run.json` has it; empty where nothing was."""
    if assessment is None:
        return {
            "metrics": {},
            "rmse_spread": {},
            "ridge_alpha": None,
            "recursive": {},
            "verdict": "",
            "evidence": None,
            "distributions": [],
            "forecast_bands": None,
        }
    alpha = assessment.ridge_alpha
    return {
        "metrics": {
            split: {model: [step.to_dict() for step in steps] for model, steps in models.items()}
            for split, models in assessment.metrics.items()
        },
        "rmse_spread": assessment.spread,
        "ridge_alpha": "infinity" if math.isinf(alpha) else alpha,  # JSON has none
        "recursive": {name: asdict(one) for name, one in assessment.recursive_metrics.items()},
        "verdict": assessment.verdict,
        "evidence": assessment.evidence,
        "distributions": [one.to_dict() for one in assessment.distributions],
        "forecast_bands": bands_record(assessment.bands),
    }


def _describe_tries(runs: Path, result: Result) -> dict[str, Any]:
    if result.assessment is None:
        return {"earlier_tries": None, "tries": ""}
    model, drift = (result.assessment.metrics["test"][name][0] for name in ("model", "drift"))
    ticker = result.config.data.ticker
    earlier = count_earlier_tries(runs, ticker, model.rmse)
    return {"earlier_tries": earlier, "tries": tries_sentence(model, drift, earlier, ticker)}


def bands_record(bands: Sequence[AnyBand]) -> dict[str, Any]:
    """Bands and how they are made, for JSON: `forecast_bands` of `run.json`."""
    steps = [band.to_dict() for band in bands]
    if bands and isinstance(bands[0], QuantileBand):
        return {"lower": bands[0].lower, "upper": bands[0].upper, "steps": steps}
    return {"nominal": NOMINAL, "decay": DECAY, "steps": steps}


def draw_run(result: Result, folder: Path) -> None:
    """Draw `losses.png` and `predictions.png` of a result that was assessed into an existing folder."""
    from trendlstm.output.plots.train import plot_losses, plot_predictions

    assert result.assessment
    ticker, network, window = result.config.data.ticker, result.config.network, result.config.window
    plot_losses(result.histories, folder / "losses.png", title=f"{ticker}: training of the network")
    predictions = (
        "one-step predictions" if window.horizon == 1 else f"predictions (step 1 of {window.horizon})"
    )
    drawn = f"closing price and {predictions}"
    if result.forecaster.is_recursive:
        drawn = f"closing price, {predictions} and the recursive forecast"
    provenance = result.prices.provenance
    plot_predictions(
        result.assessment.predictions,
        folder / "predictions.png",
        title=f"{ticker}: {drawn}",
        subtitle=f"{cell_phrase(network.to_dict())}, lag {window.lag}, {window.scaling} scaling, epoch chosen by "
        f"validation; prices {provenance.start} to {provenance.end}",
        band=quantiles_phrase(network.levels[0], network.levels[-1]) if network.levels else "",
    )


def save_run(result: Result, path: str | Path | None = None) -> Path:
    """Write a result as `trendlstm train` does, pictures included; the folder is there whole or not at all.

    Parameters
    ----------
    result : Result
        From `trendlstm.train`.
    path : str or Path, optional
        The folder to make; it must not exist. Default: `runs/TICKER-YYYYMMDD-HHMMSS`.

    Returns
    -------
    Path
        The folder, which `load_run` reads.

    Raises
    ------
    OptionError, RunError
        The folder exists already, or cannot be made.
    """
    with RunFolder(path, result.config.data.ticker) as folder:
        if result.assessment:
            draw_run(result, folder.stage)
        write_run(folder.stage, result)
        return folder.publish()


@dataclass(frozen=True, repr=False)
class Run:
    """A run read back from its folder.

    Attributes
    ----------
    path : Path
    config : TrainConfig
    status : str
        "finished", or why training ended early.
    forecaster : Forecaster
        For forecasts: the final fit's if there is one.
    is_final_fit : bool
    verdict : str
        What the run said of its test rows, and of other runs of the same ticker; empty if training ended early.
    evidence : bool or None
        Whether it found evidence of skill; None if training ended early.
    bands : list of Band or QuantileBand
    no_bands : str
        Why none are known, as a clause; empty where they are, though there may be too few errors for any.
    """

    path: Path
    config: TrainConfig
    status: str
    forecaster: Forecaster
    is_final_fit: bool
    verdict: str
    evidence: bool | None
    bands: list[Band] | list[QuantileBand]
    no_bands: str

    def __repr__(self) -> str:
        ticker, count = self.config.data.ticker, len(self.networks)
        return f"Run({str(self.path)!r}, {ticker}, {count} network{'' if count == 1 else 's'}, {self.status})"

    def _repr_html_(self) -> str:
        try:
            metrics = self.metrics
        except RunError as error:
            return as_html(repr(self), self.verdict, str(error))
        return as_html(repr(self), self.verdict, errors_table(metrics))

    @property
    def metrics(self) -> pd.DataFrame:
        """As `Result.metrics`: how far off predictions were, by split, model and step, as `run.json` has it.

        Raises
        ------
        RunError
            The file is damaged, or was written by a version that measured less.
        """
        measured = _read_document(self.path)["metrics"]
        try:
            return metrics_table(
                {
                    split: {
                        model: [StepMetrics.from_dict(step) for step in steps]
                        for model, steps in models.items()
                    }
                    for split, models in measured.items()
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"the measures in {self.path / 'run.json'} are damaged, or of another version: train again."
            ) from error

    @property
    def networks(self) -> tuple[Network, ...]:
        """The trained networks: those of the final fit if there is one."""
        return self.forecaster.networks

    @property
    def predictions(self) -> pd.DataFrame:
        """The content of `predictions.csv`: origin, date, step, actual, prediction, recursive, split.

        Raises
        ------
        RunError
            The run was not assessed, or the file is damaged.
        """
        path = self.path / "predictions.csv"
        try:
            table = pd.read_csv(path)
        except OSError as error:
            raise RunError(f"{path} cannot be read ({error.strerror}): train again.") from error
        except ValueError as error:
            raise RunError(f"{path} is damaged: train again.") from error
        horizon = self.config.window.horizon
        rows = {split: samples * horizon for split, samples in self._samples().items()}
        if problem := _problem_of_predictions(table, rows):
            raise RunError(f"{path} is damaged, because {problem}: train again.")
        return table.astype({"origin": "datetime64[us]", "date": "datetime64[us]"})

    def forecast(self, prices: PriceSet | pd.DataFrame | pd.Series, days: int | None = None) -> pd.DataFrame:
        """Forecast the sessions after the last row of some prices.

        Parameters
        ----------
        prices : PriceSet, DataFrame or Series
            In any form that `trendlstm.data.frames.price_table` takes; at least as many rows as the lag.
        days : int, optional
            Sessions to forecast. Default: 10, or a direct model's horizon.

        Returns
        -------
        DataFrame
            One row per session: origin, date, step, price, direction, low, high (the band; NaN where there is none),
            naive (the last close). Prices that were restated since training are taken to the run's level and back.

        Raises
        ------
        OptionError, DataError
            `days` is no whole number of 1 or more, or beyond a direct model's horizon; or prices that cannot be used.
        """
        features = self.forecaster.scaler.features
        return self.forecast_later(price_set(prices, self.config.data, features), days)[0]

    def forecast_later(
        self, prices: PriceSet, days: int | None = None
    ) -> tuple[pd.DataFrame, PriceLevel | None]:
        """As `forecast`, with how the prices compare with the run's; see `workflows.forecast.forecast_later`."""
        return forecast_later(self.forecaster, self._level_closes(), prices, self.bands, days)

    def forecast_with_past(self, prices: PriceSet, forecast: pd.DataFrame) -> pd.DataFrame:
        """A forecast behind the model's predictions of the sessions before it, one session ahead.

        Parameters
        ----------
        prices : PriceSet
            Those of the forecast.
        forecast : DataFrame
            From `forecast` or `forecast_later`.

        Returns
        -------
        DataFrame
            See `workflows.forecast.past_and_future`; "train" are the sessions that the model has learned from.
        """
        forecaster, _ = at_level_of(prices, self.forecaster, self._level_closes())
        ends = {"train": pd.Timestamp(forecaster.learned_until)}
        if self.evidence is not None:
            last = self.predictions.groupby("split")["date"].max()
            ends |= {name: last[name] for name in ("validation", "test")}
        return past_and_future(forecaster, prices.frame, ends, forecast)

    def _level_closes(self) -> pd.Series:
        """The closes that tell the level of the run's prices; none where the model does not know levels."""
        return pd.Series(dtype=float) if self.forecaster.scaler.scaling == "window" else self.closes()

    def closes(self) -> pd.Series:
        """The closes that the run kept, by date: those that it predicted, none if it did not get so far.

        Raises
        ------
        RunError
            Their file is damaged.
        """
        if not (self.path / "predictions.csv").exists():
            return pd.Series(index=pd.DatetimeIndex([]), dtype=np.float64)
        return self.predictions.drop_duplicates("date").set_index("date")["actual"].sort_index()

    def _samples(self) -> dict[str, int]:
        """How many samples each split of an assessed run has."""
        samples = _read_document(self.path)["samples"]
        try:
            return {str(split): int(count) for split, count in samples.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise RunError(f"the samples in {self.path / 'run.json'} are damaged: train again.") from error


def load_run(path: str | Path) -> Run:
    """Read a run's folder.

    Raises
    ------
    RunError
        The folder or one of its files is missing or damaged, and the message names it; or it is a backtest, a
        comparison or an experiment, none of which keeps a model.
    OptionError
        The path is empty.
    """
    if not str(path):
        raise OptionError("A run's folder has no name: give the folder that `trendlstm train` wrote.")
    folder = Path(path)
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run's folder: give the folder that `trendlstm train` wrote.")
    document_path, document = folder / "run.json", _read_document(folder)
    try:
        status, config = document["status"], TrainConfig.from_dict(document["settings"])
        bands, no_bands = bands_of(document)
        said = f"{document['verdict']} {document.get('tries', '')}".strip()
        count = len(document["fits"])
    except OptionError as error:  # a sentence
        raise RunError(f"{document_path} is damaged: train again. {error}") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{document_path} is damaged: train again.") from error
    if count == 0:
        raise RunError(
            f"{folder} holds no trained network, because its training ended before the first epoch did."
        )
    is_final_fit = config.final_fit and status == "finished"
    stem = "final" if is_final_fit else "model"
    networks, scaler, learned_until = load_weights(folder, stem, count)
    names = _weight_files(stem, count)
    needed = len(config.window.features), config.window.horizon, config.network.loss
    for name, network in zip(names, networks, strict=True):
        its = network.config
        if (its.input_size, its.output_size, its.loss) != needed:
            raise RunError(f"{folder / name} does not fit the settings in {document_path}: train again.")
    forecaster = Forecaster(networks, scaler, config.window.lag, config.window.horizon, learned_until)
    return Run(
        folder, config, status, forecaster, is_final_fit, said, document.get("evidence"), bands, no_bands
    )


def is_run_folder(path: str | Path) -> bool:
    """Whether a command of this package has written a folder, of whatever kind."""
    return any((Path(path) / name).is_file() for name in ("run.json", *_KEEP_NO_MODEL))


def _read_document(folder: Path) -> dict[str, Any]:
    """The content of the `run.json` of a training run; the sections that every such run has are there."""
    path = folder / "run.json"
    for name, kind in _KEEP_NO_MODEL.items():
        if (folder / name).is_file() and (name == FOLD_FILE or not path.exists()):
            raise RunError(f"{folder} is {kind}, which keeps no model: give the folder of a training run.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}): train again.") from error
    except ValueError as error:
        raise RunError(f"{path} is damaged, because it is not JSON: train again.") from error
    present = document if isinstance(document, dict) else {}
    for section in ("status", "settings", "samples", "fits", "metrics", "verdict"):
        if section not in present:
            raise RunError(f"{path} is damaged, because it has no {section}: train again.")
    return document


def _problem_of_predictions(table: pd.DataFrame, rows: Mapping[str, int]) -> str:
    """What is wrong with a table of predictions that should have so many rows of each split; empty if nothing is."""
    for name in ("origin", "date", "step", "actual", "prediction", "recursive", "split"):
        if name not in table.columns:
            return f"it has no column {name}"
    for name in ("origin", "date"):
        if pd.to_datetime(table[name], format="%Y-%m-%d", errors="coerce").isna().any():
            return f"its column {name} holds something else than dates"
    if not is_numeric_dtype(table["actual"]):
        return "its column actual holds something else than numbers"
    found = table["split"].value_counts()
    for split, wanted in rows.items():
        if (count := found.get(split, 0)) != wanted:
            return f"it has {count:,} of the {wanted:,} rows of the {split} split"
    return ""


def bands_of(document: Mapping[str, Any]) -> tuple[list[Band] | list[QuantileBand], str]:
    """The bands of a run, given the content of its `run.json`, and why none are known if so."""
    if not document["metrics"]:
        ended = {"interrupted": "was interrupted", "diverged": "diverged"}[document["status"]]
        return [], f"training {ended} before the model's errors were measured"
    saved = document["forecast_bands"]
    if "lower" in saved:
        return [QuantileBand.from_dict(step) for step in saved["steps"]], ""
    if isinstance(saved, list) or (saved["nominal"], saved["decay"]) != (NOMINAL, DECAY):
        wrote = f"trendlstm {document['trendlstm']}, which wrote the run,"
        return [], f"{wrote} made bands in another way: train again to have one"
    return [Band.from_dict(step) for step in saved["steps"]], ""


def load_weights(folder: Path, stem: str, count: int) -> tuple[tuple[Network, ...], Scaler, str]:
    """The networks of a run with their scaler, and until when they have learned.

    Parameters
    ----------
    folder : Path
    stem : {"model", "final"}
        Those that were evaluated, or those of the final fit.
    count : int

    Raises
    ------
    RunError
        A file is missing or damaged.
    """
    names = _weight_files(stem, count)
    networks, extras = zip(*(load_with_extra(folder / name) for name in names), strict=True)
    try:
        return networks, Scaler.from_dict(extras[0]["scaler"]), extras[0]["learned_until"]
    except (KeyError, TypeError) as error:
        raise RunError(f"{folder / names[0]} has no scaler in its header: train again.") from error


def _weight_files(stem: str, count: int) -> list[str]:
    if count == 1:
        return [f"{stem}.safetensors"]
    return [f"{stem}-{index}.safetensors" for index in range(count)]


def _write_weights(folder: Path, stem: str, forecaster: Forecaster, config: TrainConfig) -> None:
    extra = {
        "settings": config.to_dict(),
        "scaler": forecaster.scaler.to_dict(),
        "learned_until": forecaster.learned_until,
    }
    names = _weight_files(stem, len(forecaster.networks))
    for name, network in zip(names, forecaster.networks, strict=True):
        network.save(folder / name, extra)


def _inputs_table(windows: Windows) -> pd.DataFrame:
    """The rows that the test windows see, raw; with the Close, by which they are scaled."""
    origins = windows.test.origins
    columns = list(dict.fromkeys((*windows.features, "Close")))
    rows = windows.prices[columns].iloc[origins[0] - windows.lag + 1 : origins[-1] + 1]
    return rows.rename_axis("date").reset_index()


def _history_table(result: Result) -> pd.DataFrame:
    tables = [history.table for history in result.histories]
    for index, table in enumerate(tables):
        table.insert(0, "network", index)
    return pd.concat(tables, ignore_index=True)
