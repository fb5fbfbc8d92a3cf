"""`python -m trendlstm`, the same as the command `trendlstm`."""

from trendlstm.cli.group import main

main(prog_name="trendlstm")
