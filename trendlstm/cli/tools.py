"""What helps around the main jobs: a network's summary, compiling ahead, the state of an installation."""

from typing import Any

import click

from trendlstm.cli.common import compile_kernels, make_console, network_config
from trendlstm.cli.options import COUNT, examples, flag, json_option, network_options, option
from trendlstm.config import (
    DTYPES,
    DType,
    NetworkConfig,
    WindowConfig,
)
from trendlstm.errors import CacheError


@click.command(epilog=examples("trendlstm summary --cell rnn --hidden 32"))
@option("--input-size", type=COUNT, default=NetworkConfig.input_size, help="Features per time step, F.")
@option(
    "--lag", type=COUNT, default=WindowConfig.lag, help="Time steps, T; counts for the feed-forward cell."
)
@option("--horizon", type=COUNT, default=WindowConfig.horizon, help="Outputs, m.")
@network_options
@json_option
def summary(input_size: int, lag: int, horizon: int, as_json: bool, **options: Any) -> None:
    """Show a network's layers and numbers of parameters."""
    console = make_console(as_json)
    config = network_config(options, input_size, horizon, lag)
    from trendlstm.nn.network import Network

    network = Network.from_config(config)
    console.print(network.summary())
    if as_json:
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        console.json({"settings": config.to_dict(), "parameters": network.num_params, "shapes": shapes})


@click.command(short_help="Compile the kernels now.", epilog=examples("trendlstm warmup"))
@option("--dtype", type=click.Choice(DTYPES), default=NetworkConfig.dtype, help="Of the arithmetic.")
@flag("--quiet", help="Say nothing.")
def warmup(dtype: DType, quiet: bool) -> None:
    """Compile the kernels now, so that the first training starts at once."""
    console = make_console(as_json=False, quiet=quiet)
    compile_kernels(console, dtype)
    from trendlstm.kernels.cache import is_kept, kernel_folder

    if not is_kept(dtype):
        raise CacheError(
            f"the kernels cannot be kept in {kernel_folder()}: set TRENDLSTM_CACHE_DIR to a folder that can be written."
        )
    console.notice(f"The {dtype} kernels are in {kernel_folder()}.")


@click.command(
    short_help="Show versions, threads, caches, and whether Yahoo answers.",
    epilog=examples("trendlstm doctor"),
)
@json_option
def doctor(as_json: bool) -> None:
    """Show versions, vector width, threads, GPU, cache folders, and whether Yahoo answers."""
    console = make_console(as_json)
    from trendlstm.output.doctor import examine

    found = examine()
    console.table("", ["What", "Found"], found.items(), text=("Found",))
    if as_json:
        console.json(found)
