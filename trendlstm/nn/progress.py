"""What is told about fits while they run."""

from typing import NamedTuple


class FitProgress(NamedTuple):
    """What a progress callback is told: epochs over all fits, and the losses of the epoch that ended last."""

    epoch: int
    epochs: int
    loss: float
    validation_loss: float  # NaN without validation
