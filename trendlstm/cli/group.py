"""The command `trendlstm`: its subcommands, and what an error becomes."""

import errno
from typing import Any, NoReturn

import click

from trendlstm.cli import (
    backtest,
    compare,
    data,
    export,
    forecast,
    leakcheck,
    report,
    reproduce,
    runs,
    tools,
    train,
)
from trendlstm.cli.options import examples
from trendlstm.errors import TrendLSTMError
from trendlstm.interrupts import INTERRUPTED, interrupts
from trendlstm.output.console import Console
from trendlstm.version import __version__

_AS_JSON = "trendlstm.json"  # of click's notes on a call: whether it is to write JSON

# A leak check's 1 says that it found a leak, so its failures have a number of their own.
_FAILURES = {"leakcheck": 3}

_NEEDS_LESS_MEMORY = {"reproduce": "smaller --hidden, --length or --batch-size"}


class _Commands(click.Group):
    """Turns expected failures into a sentence on stderr, with --json also an object on stdout, and an exit code."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_AS_JSON] = "--json" in args  # also when what follows it cannot be parsed
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with interrupts:
                return super().invoke(ctx)
        except click.UsageError as error:
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                raise
            command = error.ctx.command_path if error.ctx else ctx.command_path
            message = error.format_message().rstrip(".?")
            end = "?" if error.format_message().endswith("?") else "."
            _fail(ctx, f"{message}{end} See '{command} --help'.", error.exit_code)
        except TrendLSTMError as error:
            _fail(ctx, str(error), error.exit_code)
        except (MemoryError, ImportError, OSError) as error:
            if _is_lack_of_memory(error):
                detail = f" ({error})" if isinstance(error, MemoryError) and str(error) else ""
                less = "smaller network, lag or number of epochs"
                less = _NEEDS_LESS_MEMORY.get(ctx.invoked_subcommand or "", less)
                _fail(
                    ctx,
                    f"There is not enough memory{detail}: use a {less}, or allow this process more (`ulimit -v`).",
                    1,
                )
            if not isinstance(error, OSError) or error.errno == errno.EPIPE:
                raise  # from click's own output (`trendlstm --help | head`), which it ends quietly
            # files are named (`replace_file`), so that what has no name is the output
            where = error.filename or ("standard output" if error.errno == errno.ENOSPC else None)
            _fail(ctx, f"{error.strerror}: {where}." if where else f"{error}.", 1)
        except KeyboardInterrupt as error:
            _fail(ctx, f"Interrupted. {error}".rstrip(), INTERRUPTED)


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether an error or what it came from says so; a library that cannot be loaded says it in its own ways."""
    while error is not None:
        texts = "failed to map segment", "annot allocate memory"
        if isinstance(error, MemoryError) or any(text in str(error) for text in texts):
            return True
        error = error.__cause__ or error.__context__
    return False


def _fail(ctx: click.Context, message: str, code: int) -> NoReturn:
    """Say why the command failed and end it."""
    if code == 1:
        code = _FAILURES.get(ctx.invoked_subcommand or "", 1)
    console = Console()
    console.error(message)
    if ctx.meta[_AS_JSON]:
        console.json({"error": message, "exit_code": code})
    ctx.exit(code)


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
    export.export,
    compare.compare,
    backtest.backtest,
    report.report,
    reproduce.reproduce,
    leakcheck.leakcheck,
    runs.runs,
    tools.summary,
    tools.warmup,
    tools.doctor,
    data.data,
):
    main.add_command(_command)
