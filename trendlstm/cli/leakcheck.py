"""Check whether predictions depend on later prices."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from trendlstm.cli.common import (
    backtest_config,
    compile_kernels,
    data_config,
    make_console,
    show_on,
    train_config,
)
from trendlstm.cli.options import (
    data_options,
    examples,
    fit_options,
    flag,
    network_options,
    output_options,
    split_option,
    walk_options,
    window_options,
)
from trendlstm.config import BacktestConfig
from trendlstm.errors import OptionError
from trendlstm.output.console import Console
from trendlstm.output.wording import prices_sentence

if TYPE_CHECKING:
    from trendlstm.config import TrainConfig
    from trendlstm.data.prices import PriceSet
    from trendlstm.evaluation.leakcheck import LeakCheck

_BACKTEST = BacktestConfig()
_TRAINING_ALONE = {"cell", "split"}
_WALK_ALONE = {field.name for field in fields(BacktestConfig)} - {"window", "network", "fit", "seeds"}


def _walk_defaults(context: click.Context, parameter: click.Parameter, is_walk: bool) -> bool:
    """Give a walk's fits the defaults of `backtest`."""
    if is_walk:
        context.default_map = {"epochs": _BACKTEST.fit.epochs, "patience": _BACKTEST.fit.patience}
    return is_walk


@click.command(
    short_help="Check whether predictions depend on later prices.",
    epilog=examples(
        "trendlstm leakcheck MSFT --epochs 10",
        "trendlstm leakcheck AAPL --features Close,Volume --scaling standard",
        "trendlstm leakcheck MSFT --backtest --refit 21 --horizon 5",
    ),
)
@click.argument("ticker", required=False)
@flag(
    "--backtest",
    "is_walk",
    is_eager=True,
    callback=_walk_defaults,
    help="Check a walk of `trendlstm backtest` instead of a training, with that command's "
    f"{_BACKTEST.fit.epochs} epochs and patience of {_BACKTEST.fit.patience} unless given. Only then --test-years to "
    "--warm-start are taken, and neither --split nor --cell.",
)
@data_options
@walk_options
@window_options
@split_option
@network_options
@fit_options
@output_options
@click.pass_context
def leakcheck(
    context: click.Context, ticker: str | None, is_walk: bool, as_json: bool, quiet: bool, **options: Any
) -> None:
    """Change the future of TICKER's prices and see whether anything before it changes.

    The prices after the last training day, the first test day that closes a forecast and the middle of the test days
    are perturbed, shuffled and (except after the first of these days) truncated. Each time all is fitted and predicted
    again, and what must not depend on those prices is compared bit by bit: the scaler and the predictions of drift;
    after the two test days also the test predictions of ridge and of the network, and its recursive forecast.

    With --backtest they are changed after the first day of the walk and in its middle. Compared are the earlier
    forecasts of drift, of ridge and of every network, bands, signals, and the accounts' positions and returns.

    The exit code is 1 if anything changed, 2 or 3 if the check could not be made. TICKER is MSFT unless given.
    """
    console = make_console(as_json, quiet)
    for parameter in context.command.params:
        is_given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if is_given and parameter.name in (_TRAINING_ALONE if is_walk else _WALK_ALONE):
            raise OptionError(
                f"{parameter.opts[0]} is for checking a {'training' if is_walk else 'backtest'}: "
                f"{'leave out' if is_walk else 'add'} --backtest, or leave it out."
            )
    config = backtest_config(options) if is_walk else train_config(ticker, options)
    from trendlstm.data.sources import find_prices
    from trendlstm.output.leakcheck import leak_sentence

    prices = find_prices(data_config(ticker, options))
    provenance = prices.provenance.to_dict()
    console.print(prices_sentence(provenance))
    if isinstance(config, BacktestConfig):
        checks = _check_walk(console, config, prices, options["threads"])
    else:
        checks = _check_training(console, config, prices)
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
    context.exit(int(leaks))


def _check_training(console: Console, config: "TrainConfig", prices: "PriceSet") -> list["LeakCheck"]:
    from trendlstm.evaluation.leakcheck import observations
    from trendlstm.output.leakcheck import show_training_checks
    from trendlstm.workflows.leakcheck import leak_check, training_days
    from trendlstm.workflows.train import prepare

    prepared = prepare(config, prices)
    fits = observations(training_days(prepared.windows))
    console.print()
    compile_kernels(console, config.network.dtype)
    with console.progress("Training", fits * config.fit.epochs * config.seeds) as bar:
        checks = leak_check(prepared, show_on(bar))
    show_training_checks(console, checks, config.network.cell)
    return checks


def _check_walk(
    console: Console, config: BacktestConfig, prices: "PriceSet", threads: int | None
) -> list["LeakCheck"]:
    from trendlstm.output.leakcheck import show_walk_checks
    from trendlstm.workflows.folds import plan_walk
    from trendlstm.workflows.leakcheck import folds_to_walk, leak_check_walk

    walk = plan_walk(prices.provenance.ticker, prices, config)
    console.print()
    compile_kernels(console, config.network.dtype)
    with console.progress("Folds", folds_to_walk(walk)) as bar:
        checks = leak_check_walk(walk, config, threads, bar.update)
    show_walk_checks(console, checks)
    return checks
