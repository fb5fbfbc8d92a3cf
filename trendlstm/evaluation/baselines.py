"""The three forecasts that every model is shown beside: persistence, drift and ridge regression.

Each function takes `Windows` and returns the predicted prices of every split,
`{"train": (n, m), "validation": (n, m), "test": (n, m)}`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trendlstm.data.windows import Windows

FloatArray = NDArray[np.float64]

# Half decades, and infinity, with which ridge predicts the mean of the training targets whatever the window shows.
ALPHAS = np.append(np.logspace(-3, 8, 23), np.inf)


def persistence(windows: Windows) -> dict[str, FloatArray]:
    """Predict that every later Close is the last one seen, C_t.

    Parameters
    ----------
    windows : Windows

    Returns
    -------
    dict of str to ndarray (n, m)
        Predicted prices per split.
    """
    return {
        split.name: np.repeat(split.anchors[:, None], windows.horizon, axis=1) for split in windows.splits
    }


def drift(windows: Windows) -> dict[str, FloatArray]:
    """Predict C_t exp(k r), r being the mean daily log return of the training rows.

    Parameters
    ----------
    windows : Windows

    Returns
    -------
    dict of str to ndarray (n, m)
        Predicted prices per split.
    """
    train = windows.close[: windows.train_rows]
    mean_return = np.log(train[-1] / train[0]) / (len(train) - 1)
    growth = np.exp(mean_return * np.arange(1, windows.horizon + 1))
    return {split.name: split.anchors[:, None] * growth for split in windows.splits}


@dataclass(frozen=True, eq=False)
class Ridge:
    """A linear model of the scaled targets, y = x w + b, with an L2 penalty on w but none on b.

    Attributes
    ----------
    weight : ndarray (T * F, m)
        Coefficients of the flattened window.
    intercept : ndarray (m,)
    alpha : float
        The penalty, minimising |y - x w - b|^2 + alpha |w|^2 over the training samples. Infinity leaves w = 0, so
        that the prediction is the mean of the training targets.
    """

    weight: FloatArray
    intercept: FloatArray
    alpha: float

    @classmethod
    def fit(cls, windows: Windows) -> Ridge:
        """Fit on the training samples, with the alpha of the lowest MSE of the scaled validation targets.

        One singular value decomposition of the centred inputs, x = U diag(s) V', gives the weights of every
        alpha: w = V diag(s / (s^2 + alpha)) U' y. The candidates are `ALPHAS`, the half decades from 1e-3 to 1e8 and
        infinity; of equal ones the smallest alpha counts.

        Parameters
        ----------
        windows : Windows

        Returns
        -------
        Ridge
        """
        x, y = _flat(windows.train.x), windows.train.y
        x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
        u, s, vt = np.linalg.svd(x - x_mean, full_matrices=False)
        projected = u.T @ (y - y_mean)
        candidates = []
        for alpha in ALPHAS:
            weight = vt.T @ (projected * (s / (s**2 + alpha))[:, None])
            candidates.append(cls(weight, y_mean - x_mean @ weight, float(alpha)))
        x, y = windows.validation.x, windows.validation.y
        return min(candidates, key=lambda candidate: float(np.mean((candidate.predict(x) - y) ** 2)))

    def predict(self, x: FloatArray) -> FloatArray:
        """Predict scaled targets.

        Parameters
        ----------
        x : ndarray (n, T, F)
            Scaled inputs.

        Returns
        -------
        ndarray (n, m)
        """
        # One plain dot product per sample and step. A matrix product would round differently with the number
        # of samples, and a prediction must not change by a single bit when later rows are added or removed.
        columns = [np.einsum("nd,d->n", _flat(x), np.ascontiguousarray(column)) for column in self.weight.T]
        return np.stack(columns, axis=1) + self.intercept


def ridge(windows: Windows) -> dict[str, FloatArray]:
    """Predict by ridge regression on the same scaled inputs and targets as the network.

    Parameters
    ----------
    windows : Windows

    Returns
    -------
    dict of str to ndarray (n, m)
        Predicted prices per split. The validation figures chose alpha.
    """
    model = Ridge.fit(windows)
    return {
        split.name: windows.scaler.prices(model.predict(split.x), split.anchors) for split in windows.splits
    }


BASELINES = {"persistence": persistence, "drift": drift, "ridge": ridge}


def _flat(x: FloatArray) -> FloatArray:
    return x.reshape(len(x), -1)
