"""The command line: parse, call, show. Heavy modules are imported by the commands that need them."""

from trendlstm.cli.group import main

__all__ = ["main"]
