"""What the last layer's outputs mean: predictions, quantiles, mean and scale of a normal distribution, or classes."""

import numpy as np

from trendlstm.config import NetworkConfig
from trendlstm.kernels.equations import SCALE_FLOOR


def predictions(config: NetworkConfig, outputs: np.ndarray) -> np.ndarray:
    """The predictions that `Network.predict` returns.

    Parameters
    ----------
    config : NetworkConfig
        Of the network.
    outputs : ndarray (..., m * outputs of a target)
        Of its last layer, those of one target side by side.

    Returns
    -------
    ndarray (..., m), (..., m, Q), (..., m, 2) or (..., m, K)
        The outputs themselves; the quantiles, sorted; mean and standard deviation, ln(1 + exp(raw)) + SCALE_FLOOR; or
        the probability of each class, their softmax.
    """
    by_target = outputs.reshape(*outputs.shape[:-1], -1, config.outputs_per_target)
    if config.loss == "pinball":
        return np.sort(by_target, axis=-1)
    if config.loss == "gaussian":
        scale = np.logaddexp(outputs.dtype.type(0), by_target[..., 1]) + outputs.dtype.type(SCALE_FLOOR)
        return np.stack([by_target[..., 0], scale], axis=-1)
    if config.loss == "cross-entropy":
        numerators = np.exp(by_target - by_target.max(axis=-1, keepdims=True))
        return numerators / numerators.sum(axis=-1, keepdims=True)
    return outputs
