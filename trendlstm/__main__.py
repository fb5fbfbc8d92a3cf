"""`python -m trendlstm`, the same as the command `trendlstm`."""

from .cli import main

main(prog_name="trendlstm")
