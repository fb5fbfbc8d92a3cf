"""The long-lag experiments of the paper that introduced the LSTM, run again with this package's networks.

`tasks` makes the sequences, `trials` trains networks on them, `report` says how they fared beside the paper's.
"""

from trendlstm.config import Cell

TASKS = ("adding", "temporal-order", "long-lag")
ADDING_LENGTHS = (100, 500, 1000)
TEMPORAL_ORDERS = ("6a", "6b")
LONG_LAGS = (50, 100, 200, 500, 1000)
CELLS: tuple[Cell, ...] = ("lstm", "lstm1997", "gru", "rnn")
USUAL_CELLS: tuple[Cell, ...] = ("lstm", "lstm1997", "rnn")  # that are tried unless told otherwise

TRIALS = 10  # of each network; the paper has 10 of the adding problem, 20 of long-lag
MAX_SEQUENCES = 100_000  # after so many a trial ends unsolved
