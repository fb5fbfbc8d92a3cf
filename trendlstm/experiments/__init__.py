"""Experiments of the literature on memory over many steps, run again with this package's networks.

`task` says what a task is, `tasks` makes those of `long_lags`, `grammar`, `copying` and `digits`; `trials` trains
networks on them.
"""

from trendlstm.config import Cell, ForgetBias

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
# A task's networks unless told otherwise, cells with their forget biases: the first two show most.
_OF_1997: tuple[tuple[Cell, ForgetBias | None], ...] = (
    ("lstm", "chrono"),
    ("lstm", 1),
    ("lstm1997", "chrono"),
    ("lstm1997", 0),
    ("rnn", None),
)
USUAL_MODELS: dict[str, tuple[tuple[Cell, ForgetBias | None], ...]] = {
    "adding": _OF_1997,
    "multiplication": (("lstm", "chrono"), ("lstm", 1), ("lstm1997", "chrono"), ("gru", None)),
    "temporal-order": _OF_1997,
    "long-lag": _OF_1997,
    "reber": (("lstm", 1), ("lstm1997", 0), ("lstm", "chrono"), ("gru", None), ("rnn", None)),
    "continual-reber": (("lstm", 1), ("lstm1997", 0), ("lstm", "chrono"), ("gru", None), ("rnn", None)),
    "copy": (("lstm", "chrono"), ("lstm", 1), ("gru", None)),
    "digits": (("lstm", "chrono"), ("lstm", 1), ("gru", None), ("rnn", None)),
}
