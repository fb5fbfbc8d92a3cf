"""Check whether predictions depend on later prices."""

from typing import Any

import click

from trendlstm.cli.common import compile_kernels, make_console, show_on, train_config
from trendlstm.cli.options import (
    data_options,
    examples,
    fit_options,
    network_options,
    output_options,
    split_option,
    window_options,
)
from trendlstm.output.wording import prices_sentence


@click.command(
    short_help="Check whether predictions depend on later prices.",
    epilog=examples(
        "trendlstm leakcheck MSFT --epochs 10",
        "trendlstm leakcheck AAPL --features Close,Volume --scaling standard",
    ),
)
@click.argument("ticker", required=False)
@data_options
@window_options
@split_option
@network_options
@fit_options
@output_options
def leakcheck(ticker: str | None, as_json: bool, quiet: bool, **options: Any) -> None:
    """Change the future of TICKER's prices and see whether anything before it changes.

    The prices after the last training day, the first test day that closes a forecast and the middle of the test days
    are perturbed, shuffled and (except after the first of these days) truncated. Each time all is fitted and predicted
    again, and what must not depend on those prices is compared bit by bit: the scaler and the predictions of drift;
    after the two test days also the test predictions of ridge and of the network, and its recursive forecast. The
    exit code is 1 if anything changed, 2 or 3 if the check could not be made. TICKER is MSFT unless given.
    """
    console = make_console(as_json, quiet)
    config = train_config(ticker, options)
    from trendlstm.data.sources import find_prices
    from trendlstm.evaluation.leakcheck import MOST_OBSERVATIONS
    from trendlstm.output.leakcheck import leak_sentence, show_leak_checks
    from trendlstm.workflows.leakcheck import leak_check
    from trendlstm.workflows.train import prepare

    prepared = prepare(config, find_prices(config.data))
    provenance = prepared.prices.provenance.to_dict()
    console.print(prices_sentence(provenance))
    console.print()
    compile_kernels(console, config.network.dtype)
    with console.progress("Training", MOST_OBSERVATIONS * config.fit.epochs * config.seeds) as bar:
        checks = leak_check(prepared, show_on(bar))
    show_leak_checks(console, checks, config.network.cell)
    console.print()
    console.print(leak_sentence(checks, config.network.cell))
    leaks = any(check.changed for check in checks)
    if as_json:
        console.json(
            {
                "leaks": leaks,
                "settings": config.to_dict(),
                "provenance": provenance,
                "checks": [check.to_dict() for check in checks],
            }
        )
    click.get_current_context().exit(int(leaks))
