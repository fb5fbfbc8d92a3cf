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


def error_of(command, expect):
    """The one line on stderr that is not a warning."""
    result = run(command, expect)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("Warning: ", "Compiling "))]
    assert len(lines) == 1 and lines[0].startswith("Error: "), result.stderr
    assert lines[0].endswith((".", "?"))
    return lines[0].removeprefix("Error: ")
