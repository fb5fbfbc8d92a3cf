"""The errors that trendlstm raises on purpose; each message is one sentence that says what to do."""


class TrendLSTMError(Exception):
    """Base of every error of this package. `exit_code` is what the command line returns for it."""

    exit_code = 1


class OptionError(TrendLSTMError, ValueError):
    """An option or argument has a value that cannot be used."""

    exit_code = 2


class DataError(TrendLSTMError, ValueError):
    """Prices, a file or an array hold something that cannot be used."""


class SourceError(TrendLSTMError, RuntimeError):
    """A price source did not answer, or not with prices."""


class TrainingError(TrendLSTMError, ArithmeticError):
    """Training cannot go on, for example because the loss is no longer finite."""


class RunError(TrendLSTMError, RuntimeError):
    """A run's folder cannot be read or written."""
