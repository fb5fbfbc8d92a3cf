"""The command line, run in this process."""

import shlex

from click.testing import CliRunner

from trendlstm import cli


def run(command, expect=0):
    """Run a command line; its exit code is `expect`."""
    result = CliRunner().invoke(cli.main, shlex.split(command), prog_name="trendlstm")
    if not isinstance(result.exception, SystemExit | None):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result
