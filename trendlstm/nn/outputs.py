"""What the last layer's outputs mean: predictions, quantiles, or the mean and scale of normal distributions."""

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
    ndarray (..., m), (..., m, Q) or (..., m, 2)
        The outputs themselves; the quantiles, sorted; or mean and standard deviation, ln(1 + exp(raw)) + SCALE_FLOOR.
    """
    each = config.outputs_per_target
    if config.loss == "pinball":
        return np.sort(outputs.reshape(*outputs.shape[:-1], -1, each), axis=-1)
    if config.loss != "gaussian":
        return outputs
    normal = outputs.reshape(*outputs.shape[:-1], -1, each)
    scale = np.logaddexp(outputs.dtype.type(0), normal[..., 1]) + outputs.dtype.type(SCALE_FLOOR)
    return np.stack([normal[..., 0], scale], axis=-1)
