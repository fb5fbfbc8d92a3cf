"""Experiments of the literature on memory over many steps, run again with this package's networks.

`task` says what a task is, `tasks` makes those of `long_lags`, `grammar`, `copying` and `digits`; `trials` trains
networks on them.
"""

from trendlstm.config import Cell

TASKS = (
    "adding",
    "multiplication",
    "temporal-order",
    "long-lag",
    "reber",
    "continual-reber",
    "copy",
    "digits",
)
# what of a task can be chosen, the sizes of the papers
LENGTHS: dict[str, tuple[int, ...]] = {
    "adding": (100, 500, 1000, 5000, 10_000),
    "multiplication": (100,),
    "long-lag": (50, 100, 200, 500, 1000),
    "copy": (500, 2000),
}
VARIANTS: dict[str, tuple[str, ...]] = {
    "adding": ("1997", "2022"),
    "temporal-order": ("6a", "6b"),
    "digits": ("in-order", "permuted"),
}
CELLS: tuple[Cell, ...] = ("lstm", "lstm1997", "gru", "rnn")
USUAL_CELLS: tuple[Cell, ...] = ("lstm", "lstm1997", "rnn")  # that are tried unless told otherwise

# the names that the command line and the trials use so far
ADDING_LENGTHS, LONG_LAGS, TEMPORAL_ORDERS = (
    LENGTHS["adding"],
    LENGTHS["long-lag"],
    VARIANTS["temporal-order"],
)
TRIALS = 10  # of each network; the paper has 10 of the adding problem, 20 of long-lag
MAX_SEQUENCES = 100_000  # after so many a trial ends unsolved
