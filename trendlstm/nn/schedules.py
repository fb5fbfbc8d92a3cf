"""The learning rate of every epoch of a fit, as far as it is known beforehand."""

import numpy as np
from numpy.typing import NDArray

from trendlstm.config import FitConfig


def learning_rates(config: FitConfig) -> NDArray[np.float64]:
    """The learning rate of each epoch's last step.

    In the first w = `warmup` epochs it rises along a straight line, which is that of the steps: the n-th step of w
    epochs of s steps each has the rate lr n / (w s). After that all steps of an epoch have one rate. With e = 0, 1, ...
    epochs since the warm-up, and E epochs in all:

        constant, plateau    lr
        cosine               lr (1 + cos(pi e / (E - w))) / 2
        step                 lr factor^floor(e / step_epochs)

    The cosine is that of Loshchilov & Hutter 2017, without restarts, in whole epochs. The rate would be 0 after the
    last epoch; no epoch is spent on it. On a plateau `kernels.fit` reduces the rate of the epochs that are left.

    Parameters
    ----------
    config : FitConfig

    Returns
    -------
    ndarray (epochs,), float64
    """
    epoch = np.arange(config.epochs)
    since = np.maximum(epoch - config.warmup, 0)
    share = np.ones(config.epochs)
    if config.schedule == "cosine":
        share = (1 + np.cos(np.pi * since / (config.epochs - config.warmup))) / 2
    elif config.schedule == "step":
        assert config.step_epochs is not None and config.schedule_factor is not None
        share = config.schedule_factor ** (since // config.step_epochs)
    if config.warmup:
        share = share * np.minimum((epoch + 1) / config.warmup, 1)
    return float(config.learning_rate) * share
