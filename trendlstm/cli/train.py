"""Train, measure and forecast; and the leak check, which trains on changed prices."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trendlstm.cli.common import (
    compile_kernels,
    load_prices,
    make_console,
    show_on,
    train_config,
)
from trendlstm.cli.options import (
    data_options,
    device_option,
    examples,
    fit_options,
    flag,
    network_options,
    option,
    output_options,
    window_options,
)
from trendlstm.errors import DataError, TrainingError
from trendlstm.interrupts import INTERRUPTED
from trendlstm.output.wording import device_sentence, prices_sentence

if TYPE_CHECKING:
    from trendlstm.workflows.train import Result


@click.command(
    short_help="Train on a ticker's prices, measure the model, and forecast.",
    epilog=examples(
        "trendlstm train MSFT --years 4",
        "trendlstm train AAPL --lag 60 --seeds 5 --final-fit",
        "trendlstm train MSFT --features Close,Volume --horizon 5",
        "trendlstm train --csv prices.csv --out runs/mine",
    ),
)
@click.argument("ticker", required=False)
@data_options
@window_options
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
@output_options
def train(
    ticker: str | None, out: str | None, no_plot: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Train on TICKER's prices, measure the model beside simple baselines, and forecast the next sessions.

    TICKER is MSFT unless given; with --csv a label, and whose rows to read where the file has several tickers.
    """
    console = make_console(as_json, quiet)
    config = train_config(ticker, options)
    from trendlstm.output.runs import RunFolder, write_run
    from trendlstm.output.train import (
        fits_sentences,
        forecast_title,
        last_close_warning,
        show_forecast,
        show_metrics,
        windows_sentence,
    )
    from trendlstm.workflows import train as workflow

    folder = RunFolder(out, config.data.ticker)
    result = workflow.prepare(config, load_prices(config.data))
    console.print(prices_sentence(result.provenance))
    console.print(windows_sentence(result))
    console.print(device_sentence(options["device"], config.device))
    console.print()
    console.print(result.forecaster.networks[0].summary())
    console.print()
    status, failure = "finished", ""
    with folder:
        compile_kernels(console, config.network.dtype)
        try:
            with console.progress("Training", config.fit.epochs * config.seeds) as bar:
                workflow.train(result, show_on(bar))
            console.print(fits_sentences(result))
            workflow.assess(result)
            if config.final_fit:
                with console.progress(
                    "Training on all rows", sum(h.kept_epoch for h in result.histories)
                ) as bar:
                    workflow.final_fit(result, show_on(bar))
            workflow.forecast(result)
            if not no_plot:
                _draw(result, folder.stage)
        except KeyboardInterrupt:
            if not result.histories:  # no network has finished an epoch: there is nothing to keep
                raise
            status, failure = "interrupted", "Interrupted; the best weights so far are"
        except (TrainingError, DataError) as error:
            if not result.histories:
                raise
            status, failure = "diverged", f"{error} The weights are"
        document = write_run(folder.stage, result, status)
        path = folder.publish()
    if failure:
        failure, code = (
            f"{failure} in {path}.",
            INTERRUPTED if status == "interrupted" else TrainingError.exit_code,
        )
        console.error(failure)
        if as_json:
            console.json({"error": failure, "exit_code": code, "run": path, **document})
        click.get_current_context().exit(code)
    console.print()
    show_metrics(console, result)
    console.print()
    console.print(result.verdict)
    console.print()
    show_forecast(console, result.forecast, forecast_title(result), result.bands)
    if warning := last_close_warning(result.forecast):
        console.warning(warning)
    console.print()
    console.print(f"The run is in {path}.")
    if as_json:
        console.json({"run": path, **document})


def _draw(result: "Result", folder: Path) -> None:
    from trendlstm.output.plots.train import plot_losses, plot_predictions

    config, provenance = result.config, result.provenance
    ticker, network = config.data.ticker, config.network
    plot_losses(result.histories, folder / "losses.png", title=f"{ticker}: training of the network")
    horizon = config.window.horizon
    predictions = "one-step predictions" if horizon == 1 else f"predictions (step 1 of {horizon})"
    drawn = f"closing price and {predictions}"
    if result.forecaster.is_recursive:
        drawn = f"closing price, {predictions} and the recursive forecast"
    plot_predictions(
        result.predictions,
        folder / "predictions.png",
        title=f"{ticker}: {drawn}",
        subtitle=f"{network.cell}, {network.hidden_size} hidden units, lag {config.window.lag}, "
        f"{config.window.scaling} scaling, epoch chosen by validation; "
        f"prices {provenance['start']} to {provenance['end']}",
    )
