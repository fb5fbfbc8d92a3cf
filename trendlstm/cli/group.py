"""The command `trendlstm`: its subcommands, and what an error becomes."""

import errno
import signal
import threading
from typing import Any

import click

from trendlstm.cli import compare, data, forecast, leakcheck, reproduce, tools, train
from trendlstm.cli.common import INTERRUPTED
from trendlstm.cli.options import examples
from trendlstm.errors import TrendLSTMError
from trendlstm.output.console import Console
from trendlstm.version import __version__


class _Commands(click.Group):
    """Turns every expected failure into one sentence on stderr and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: cleanly
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise
            command = error.ctx.command_path if error.ctx else ctx.command_path
            message = error.format_message().rstrip(".?")
            end = "?" if error.format_message().endswith("?") else "."
            Console().error(f"{message}{end} See '{command} --help'.")
            ctx.exit(error.exit_code)
        except TrendLSTMError as error:
            Console().error(error)
            ctx.exit(error.exit_code)
        except MemoryError as error:
            Console().error(
                f"There is not enough memory ({error}): use a smaller network, lag or number of epochs."
            )
            ctx.exit(1)
        except OSError as error:
            if error.errno == errno.EPIPE:  # `trendlstm ... | head`: click ends quietly
                raise
            # files are named (`replace_file`), so that what has no name is the output
            where = error.filename or ("standard output" if error.errno == errno.ENOSPC else None)
            Console().error(f"{error.strerror}: {where}." if where else f"{error}.")
            ctx.exit(1)
        except KeyboardInterrupt:
            Console().error("Interrupted.")
            ctx.exit(INTERRUPTED)


@click.group(
    cls=_Commands,
    epilog=examples("trendlstm train MSFT --years 4"),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="trendlstm", message="%(prog)s %(version)s")
def main() -> None:
    """Forecast a stock's trend with a small LSTM, and see honestly whether it beats "tomorrow = today"."""


for _command in (
    train.train,
    forecast.forecast,
    compare.compare,
    reproduce.reproduce,
    leakcheck.leakcheck,
    tools.summary,
    tools.warmup,
    tools.doctor,
    data.data,
):
    main.add_command(_command)
