"""Train, measure and forecast."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trendlstm.cli.common import (
    compile_kernels,
    make_console,
    run_record,
    stages,
    train_config,
)
from trendlstm.cli.options import (
    data_options,
    device_option,
    examples,
    fit_options,
    flag,
    listed,
    network_options,
    option,
    output_options,
    report_option,
    split_option,
    window_options,
)
from trendlstm.config import TrainConfig
from trendlstm.errors import TrainingError
from trendlstm.interrupts import INTERRUPTED
from trendlstm.output.console import Console
from trendlstm.output.wording import device_sentence, prices_sentence
from trendlstm.presets import PRESETS

if TYPE_CHECKING:
    from pathlib import Path

    from trendlstm.output.runs import RunFolder
    from trendlstm.workflows.train import Prepared, Result


_PRESETS_HELP = "; ".join(f"{name}: {one.description}" for name, one in PRESETS.items())


def _preset_defaults(context: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Give the options the values of a preset, where they are not on the command line."""
    if name is not None:
        usual = _model_settings(TrainConfig())
        context.default_map = {
            option: listed(value) or "none" if isinstance(value, tuple) else str(value)
            for option, value in _model_settings(PRESETS[name].config).items()
            if value != usual[option]
        }
    return name


def _model_settings(config: TrainConfig) -> dict[str, Any]:
    """What makes the model, by the names of the options."""
    return {**vars(config.window), **vars(config.network), **vars(config.fit)}


def _preset_sentence(context: click.Context, name: str) -> str:
    """What a preset is, and which options have gone before its settings."""
    settings = _model_settings(PRESETS[name].config).keys() - {"seed"}
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name in settings
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    changed = f" Changed by your options: {', '.join(given)}." if given else ""
    return f"Preset {name}: {PRESETS[name].description}.{changed}"


@click.command(
    short_help="Train on a ticker's prices, measure the model, and forecast.",
    epilog=examples(
        "trendlstm train MSFT --years 4",
        "trendlstm train AAPL --lag 60 --seeds 5 --final-fit",
        "trendlstm train MSFT --features Close,Volume --horizon 5",
        "trendlstm train MSFT --cell gru --layers 2 --dropout 0.2",
        "trendlstm train MSFT --preset keras-tutorial --epochs 30",
        "trendlstm train MSFT --quantiles 0.1,0.5,0.9",
        "trendlstm train --csv prices.csv --out runs/mine",
    ),
)
@click.argument("ticker", required=False)
@option(
    "--preset",
    type=click.Choice(list(PRESETS)),
    default=None,
    is_eager=True,
    callback=_preset_defaults,
    help=f"Begin with the settings of a known model; options beside it win. {_PRESETS_HELP}.",
)
@data_options
@window_options
@split_option
@network_options
@fit_options
@device_option
@flag(
    "--final-fit",
    help="After the evaluation also train on all rows, for the chosen number of epochs; forecasts use that.",
)
@option(
    "--out",
    type=click.Path(),
    default=None,
    show_default="runs/TICKER-YYYYMMDD-HHMMSS",
    help="The run's folder; must not exist.",
)
@flag("--no-plot", help="Draw no pictures.")
@report_option
@output_options
@click.pass_context
def train(
    context: click.Context,
    ticker: str | None,
    preset: str | None,
    out: str | None,
    no_plot: bool,
    report: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Train on TICKER's prices, measure the model beside simple baselines, and forecast the next sessions.

    TICKER is MSFT unless given; with --csv a label, and whose rows to read where the file has several tickers.
    """
    console = make_console(as_json, quiet)
    config = train_config(ticker, options)
    if preset is not None:
        console.print(_preset_sentence(context, preset))
    from trendlstm.data.sources import find_prices
    from trendlstm.output.runs import RunFolder
    from trendlstm.output.train import (
        forecast_title,
        last_close_warning,
        show_distributions,
        show_forecast,
        show_metrics,
        show_recursive,
    )
    from trendlstm.workflows.train import prepare

    folder = RunFolder(out, config.data.ticker)
    prepared = prepare(config, find_prices(config.data))
    result, document, path = make_run(
        console,
        folder,
        prepared,
        asked_device=options["device"],
        draw=not no_plot,
        as_json=as_json,
        report=report,
    )
    assert result.assessment and result.forecast is not None  # of a run that finished
    console.print()
    show_metrics(console, result)
    if result.assessment.distributions:
        console.print()
        show_distributions(console, result)
    if result.assessment.recursive_metrics:
        console.print()
        show_recursive(console, result)
    console.print()
    console.print(document["verdict"])
    if document["tries"]:
        console.print(document["tries"])
    console.print()
    show_forecast(console, result.forecast, forecast_title(result), result.assessment.bands)
    if warning := last_close_warning(result.forecast):
        console.warning(warning)
    console.print()
    console.print(f"The run is in {path}.")
    if as_json:
        console.json(run_record(path, document, report))


def make_run(
    console: Console,
    folder: "RunFolder",
    prepared: "Prepared",
    *,
    asked_device: str,
    draw: bool,
    as_json: bool,
    report: bool = False,
    days: int | None = None,
) -> "tuple[Result, dict[str, Any], Path]":
    """Train and publish the run's folder; a run that did not finish is published too, and ends the command.

    Parameters
    ----------
    console : Console
    folder : RunFolder
        Not entered yet.
    prepared : Prepared
        Its networks are modified.
    asked_device : str
        What the user asked for, which may be "auto".
    draw : bool
        Whether to draw pictures.
    as_json : bool
        Whether a run that did not finish is also written as JSON.
    report : bool
        Whether to write the report page.
    days : int, optional
        Sessions to forecast.

    Returns
    -------
    result : Result
        Finished.
    document : dict
        The content of `run.json`.
    path : Path
        The folder.
    """
    from trendlstm.output.runs import draw_run, write_run
    from trendlstm.output.train import ending_sentence, fits_sentences, windows_sentence
    from trendlstm.workflows.train import run

    config = prepared.config
    console.print(prices_sentence(prepared.prices.provenance.to_dict()))
    console.print(windows_sentence(prepared.windows, prepared.prices.provenance.adjusted))
    console.print(device_sentence(asked_device, config.device))
    console.print()
    console.print(prepared.networks[0].summary())
    console.print()
    with folder:
        compile_kernels(console, config.network.dtype)
        result = run(prepared, stages(console), days)
        console.print(fits_sentences(result))
        if result.status == "finished" and draw:
            try:
                draw_run(result, folder.stage)
            except KeyboardInterrupt:
                result = replace(result, status="interrupted")
        document = write_run(folder.stage, result)
        if result.status == "finished" and report:
            from trendlstm.output.report.make import write_report

            try:
                write_report(folder.stage)
            except KeyboardInterrupt:
                result = replace(result, status="interrupted")
                document = write_run(folder.stage, result)
        path = folder.publish()
    if result.status != "finished":
        code = INTERRUPTED if result.status == "interrupted" else TrainingError.exit_code
        failure = ending_sentence(result, path)
        console.error(failure)
        if as_json:
            console.json({"error": failure, "exit_code": code, "run": path, **document})
        click.get_current_context().exit(code)
    return result, document, path
