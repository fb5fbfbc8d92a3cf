"""The errors that trendlstm raises on purpose; each message is one sentence that says what to do."""

from collections.abc import Sequence
from typing import Any


class TrendLSTMError(Exception):
    """Base of every error of this package. `exit_code` is what the command line returns for it."""

    exit_code = 1


class OptionError(TrendLSTMError, ValueError):
    """An option or argument has a value that cannot be used."""

    exit_code = 2


class MissingLibraryError(OptionError):
    """What was chosen needs a library that comes with an extra of this package."""


class DataError(TrendLSTMError, ValueError):
    """Prices, a file or an array hold something that cannot be used."""


class SourceError(TrendLSTMError, RuntimeError):
    """A price source did not answer, or not with prices."""


class TrainingError(TrendLSTMError, ArithmeticError):
    """Training cannot go on, because a loss or weight is no longer finite.

    Attributes
    ----------
    histories : list of History
        How each fit went until then, see `trendlstm.nn.history`.
    """

    def __init__(self, message: str, histories: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.histories = list(histories)


class FitInterrupted(KeyboardInterrupt):
    """Ctrl-C during a fit; the networks have their best weights so far.

    Attributes
    ----------
    histories : list of History
        How each fit went until then, see `trendlstm.nn.history`.
    """

    def __init__(self, histories: Sequence[Any]) -> None:
        super().__init__()
        self.histories = list(histories)


class CacheError(TrendLSTMError, RuntimeError):
    """A cache folder cannot be used: others may have put something into it, or it cannot be written."""


class RunError(TrendLSTMError, RuntimeError):
    """A run's folder cannot be read or written."""


class ClusterError(TrendLSTMError, RuntimeError):
    """A cluster's scheduler does not answer, or one of its workers cannot be used."""
