"""The command `trendlstm`, also as `python -m trendlstm`."""

import gc

from trendlstm.interrupts import interrupts


def main() -> None:
    """Run the command line, and let Ctrl-C end it in one line from here on, also while it is imported."""
    interrupts.catch()
    gc.set_threshold(
        50_000
    )  # imports make nothing but what lives on, and collections took a tenth of their time
    from trendlstm.cli.group import main as run

    run(prog_name="trendlstm")


if __name__ == "__main__":
    main()
