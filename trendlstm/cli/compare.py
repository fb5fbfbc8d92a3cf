"""Compare the LSTM with other models."""

from typing import Any

import click

from trendlstm.cli.common import compile_kernels, make_console, run_record, show_on, train_config
from trendlstm.cli.options import (
    data_options,
    device_option,
    examples,
    fit_options,
    flag,
    layer_options,
    option,
    output_options,
    report_option,
    split_option,
    window_options,
)
from trendlstm.config import COMPARED, MATCHES, Baseline, CompareConfig, Match
from trendlstm.output.wording import device_sentence, prices_sentence

_DEFAULTS = CompareConfig()


@click.command(
    short_help="Compare the LSTM with other models on the same prices.",
    epilog=examples(
        "trendlstm compare --baseline rnn",
        "trendlstm compare AAPL --baseline ann --baseline ridge --match params",
        "trendlstm compare --baseline gru --layers 2 --dropout 0.2",
    ),
    context_settings={"default_map": {"lag": _DEFAULTS.train.window.lag, "seeds": _DEFAULTS.train.seeds}},
)
@click.argument("ticker", required=False)
@option(
    "--baseline",
    "baselines",
    type=click.Choice(COMPARED),
    multiple=True,
    default=_DEFAULTS.baselines,
    help="What the LSTM is compared with; may be given several times. Persistence and drift are always shown.",
)
@option(
    "--match",
    type=click.Choice(MATCHES),
    default=_DEFAULTS.match,
    help="What all networks share: hidden units, or as nearly as can be the number of parameters.",
)
@data_options
@window_options
@split_option
@layer_options
@fit_options
@device_option
@option(
    "--out",
    type=click.Path(),
    default=None,
    show_default="runs/compare-TICKER-YYYYMMDD-HHMMSS",
    help="The folder for the figures and tables; must not exist.",
)
@flag("--no-plot", help="Draw no pictures.")
@report_option
@output_options
def compare(
    ticker: str | None,
    baselines: tuple[Baseline, ...],
    match: Match,
    out: str | None,
    no_plot: bool,
    report: bool,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Compare the LSTM with other models on TICKER's prices, and see which networks forget.

    Errors on the test rows, then how much of the gradient reaches the past in RNNs and LSTMs of different initial
    weights, before and after training. With several layers or dropout an LSTM of one layer without dropout stands
    beside them, to see what they change. TICKER is MSFT unless given; with --csv a label, and whose rows to read where
    the file has several tickers.
    """
    console = make_console(as_json, quiet)
    config = CompareConfig(train_config(ticker, {**options, "cell": "lstm"}), baselines, match)
    train = config.train
    from trendlstm.data.sources import find_prices
    from trendlstm.output.compare import (
        comparison_sentence,
        conclusions,
        show_comparison,
        show_gradients,
        write_comparison,
    )
    from trendlstm.output.runs import RunFolder
    from trendlstm.workflows import compare as workflow

    folder = RunFolder(out, f"compare-{train.data.ticker}")
    prepared = workflow.prepare(config, find_prices(train.data))
    console.print(prices_sentence(prepared.prices.provenance.to_dict()))
    console.print(comparison_sentence(prepared))
    console.print(device_sentence(options["device"], train.device))
    console.print()
    with folder:
        compile_kernels(console, "gradients", train.network.dtype)
        with console.progress("Gradients before training", 1) as bar:
            initial = workflow.measure_gradients(prepared, bar.update)
        with console.progress("Training", train.fit.epochs * train.seeds * len(prepared.variants)) as bar:
            fits = workflow.train(prepared, show_on(bar))
        with console.progress("Gradients after training", 1) as bar:
            trained = workflow.measure_gradients(prepared, bar.update)
        comparison = workflow.assess(prepared, initial, fits, trained)
        document = write_comparison(folder.stage, comparison)
        if not no_plot:
            from trendlstm.output.plots.compare import plot_comparison

            plot_comparison(comparison, folder.stage)
        if report:
            from trendlstm.output.report.make import write_report

            write_report(folder.stage)
        path = folder.publish()
    show_comparison(console, comparison)
    console.print()
    show_gradients(console, comparison)
    console.print()
    console.print("\n".join(conclusions(comparison)))
    console.print()
    console.print(f"The comparison is in {path}.")
    if as_json:
        console.json(run_record(path, document, report))
