"""Windows of prices: samples, their splits by date, and the scaling of what the network sees.

`T` is the lag, `F` the number of features, `m` the horizon. The sample of origin `t` shows the rows `t-T+1
... t` and asks for the closes of the rows `t+1 ... t+m`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trendlstm.config import FEATURES, SCALINGS
from trendlstm.errors import DataError, OptionError

FloatArray = NDArray[np.float64]

# The rounding of float64 prices alone gives log returns a standard deviation of some 1e-16.
_SMALLEST_SIGMA = 1e-12


@dataclass(frozen=True)
class Scaler:
    """What takes prices to network units and back, fitted on the training rows alone.

    With `C` the Close at the origin (the anchor), `j = T-1 ... 0` and `k = 1 ... m`:

    - `window`: prices ln(P[t-j] / C) / sigma, Volume ln((1 + V) / (1 + mean V of the window)), target
      ln(C[t+k] / C) / sigma;
    - `standard`: (value - mean) / standard deviation (ddof 0) of each feature, and of the Close for the
      target;
    - `minmax`: (value - min) / (max - min) likewise;
    - `none`: the values themselves.

    Attributes
    ----------
    scaling : str
        "window", "standard", "minmax" or "none".
    features : tuple of str
        The columns of the input, in order.
    sigma : float
        Standard deviation (ddof 1) of the daily log returns of the training rows.
    centre, scale : tuple of float
        Per feature: the scaled value is (value - centre) / scale. 0 and 1 where the scaling uses no such
        numbers.
    target_centre, target_scale : float
        The same for the Close as the target.
    """

    scaling: str
    features: tuple[str, ...]
    sigma: float
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    target_centre: float
    target_scale: float

    @classmethod
    def fit(
        cls, prices: pd.DataFrame, features: Sequence[str] = ("Close",), scaling: str = "window"
    ) -> Scaler:
        """Fit a scaler on training rows.

        Parameters
        ----------
        prices : DataFrame
            The training rows, with Close and every feature.
        features : sequence of str
            The columns of the input, in order.
        scaling : {"window", "standard", "minmax", "none"}
            How values are scaled, see the class.

        Returns
        -------
        Scaler

        Raises
        ------
        OptionError
            Unknown scaling.
        DataError
            Fewer than 3 rows, the log returns of the Close do not vary (sigma = 0), or under "standard" and
            "minmax" a feature does not vary.
        """
        if scaling not in SCALINGS:
            raise OptionError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}.")
        if len(prices) < 3:
            raise DataError(f"{len(prices)} training rows are too few to fit a scaler: give at least 3.")
        sigma = float(np.diff(np.log(prices["Close"].to_numpy(np.float64))).std(ddof=1))
        if sigma < _SMALLEST_SIGMA:
            raise DataError(
                f"The daily log returns of Close do not vary over the {len(prices)} training rows "
                "(sigma = 0), so there is nothing to learn: choose other prices or more years."
            )
        columns = [*features, "Close"]  # the target's numbers come last
        values = prices[columns].to_numpy(np.float64)
        low, high = values.min(axis=0), values.max(axis=0)
        if scaling in ("standard", "minmax") and (low == high).any():
            raise DataError(
                f"{columns[np.argmax(low == high)]} does not vary over the {len(prices)} training rows, so "
                f"{scaling} scaling is not defined: leave that feature out or choose window scaling."
            )
        if scaling == "standard":
            centre, scale = values.mean(axis=0), values.std(axis=0)
        elif scaling == "minmax":
            centre, scale = low, high - low
        else:
            centre, scale = np.zeros(len(columns)), np.ones(len(columns))
        *centres, target_centre = centre.tolist()
        *scales, target_scale = scale.tolist()
        return cls(
            scaling, tuple(features), sigma, tuple(centres), tuple(scales), target_centre, target_scale
        )

    def inputs(self, raw: FloatArray, anchor: FloatArray) -> FloatArray:
        """Scale windows of raw values.

        Parameters
        ----------
        raw : ndarray (n, T, F)
            Prices and volumes, features in the order of `features`.
        anchor : ndarray (n,)
            Close at each window's origin.

        Returns
        -------
        ndarray (n, T, F), float64, C-contiguous
        """
        if self.scaling != "window":
            return np.ascontiguousarray((raw - np.array(self.centre)) / np.array(self.scale))
        scaled = np.empty(raw.shape)
        for i, feature in enumerate(self.features):
            values = raw[:, :, i]
            if feature == "Volume":
                scaled[:, :, i] = np.log((1 + values) / (1 + values.mean(axis=1, keepdims=True)))
            else:
                scaled[:, :, i] = np.log(values / anchor[:, None]) / self.sigma
        return scaled

    def targets(self, closes: FloatArray, anchor: FloatArray) -> FloatArray:
        """Scale the closes that follow an origin.

        Parameters
        ----------
        closes : ndarray (n, m)
            Close at t+1 ... t+m.
        anchor : ndarray (n,)
            Close at t.

        Returns
        -------
        ndarray (n, m), float64, C-contiguous
        """
        if self.scaling == "window":
            return np.ascontiguousarray(np.log(closes / anchor[:, None]) / self.sigma)
        return np.ascontiguousarray((closes - self.target_centre) / self.target_scale)

    def prices(self, outputs: NDArray[np.floating], anchor: FloatArray) -> FloatArray:
        """Turn a network's outputs into closes; the inverse of `targets`.

        Parameters
        ----------
        outputs : ndarray (n, m)
            In target units, of any float type.
        anchor : ndarray (n,)
            Close at t.

        Returns
        -------
        ndarray (n, m), float64
            Prices in the currency of `anchor`.

        Raises
        ------
        DataError
            An output is not finite or too large to be a price.
        """
        outputs = np.asarray(outputs, np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scaling == "window":
                closes = anchor[:, None] * np.exp(self.sigma * outputs)
            else:
                closes = self.target_centre + self.target_scale * outputs
        if not np.isfinite(closes).all():
            raise DataError(
                "The network's outputs are not finite prices: train again with a lower learning rate or "
                "clipped gradients."
            )
        return closes

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings and lists, fit for JSON; `from_dict` restores the scaler exactly."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> Scaler:
        """Restore a scaler from `to_dict`'s result, also after a trip through JSON."""
        fields: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in state.items()
        }
        return cls(**fields)


@dataclass(frozen=True, eq=False)
class Split:
    """The samples whose targets all fall in one part of the rows.

    Attributes
    ----------
    name : {"train", "validation", "test"}
    x : ndarray (n, T, F), float64, C-contiguous
        Scaled inputs.
    y : ndarray (n, m), float64, C-contiguous
        Scaled targets.
    origins : ndarray (n,), int
        Row number t of the last day each sample sees; consecutive.
    anchors : ndarray (n,), float64
        Close at t.
    actual : ndarray (n, m), float64
        Close at t+1 ... t+m.
    """

    name: str
    x: FloatArray
    y: FloatArray
    origins: NDArray[np.intp]
    anchors: FloatArray
    actual: FloatArray


@dataclass(frozen=True, eq=False)
class Windows:
    """Every sample of some prices, split by date, with the scaler that made them.

    Attributes
    ----------
    prices : DataFrame
        The rows given to `make_windows`.
    lag, horizon : int
        T and m.
    features : tuple of str
    scaler : Scaler
        Fitted on the first `train_rows` rows.
    train_rows, validation_rows : int
        Numbers of rows; the test rows are the rest.
    train, validation, test : Split
    """

    prices: pd.DataFrame
    lag: int
    horizon: int
    features: tuple[str, ...]
    scaler: Scaler
    train_rows: int
    validation_rows: int
    train: Split
    validation: Split
    test: Split

    @property
    def splits(self) -> tuple[Split, Split, Split]:
        """Train, validation, test."""
        return self.train, self.validation, self.test

    @property
    def dates(self) -> pd.DatetimeIndex:
        """The date of each row, (n_rows,)."""
        return pd.DatetimeIndex(self.prices.index)

    @property
    def close(self) -> FloatArray:
        """The Close of each row, (n_rows,)."""
        return self.prices["Close"].to_numpy(np.float64)

    def latest(self) -> tuple[FloatArray, FloatArray]:
        """Return the window that ends with the last row: what a forecast of the next session starts from.

        Returns
        -------
        x : ndarray (1, T, F)
            Scaled input.
        anchor : ndarray (1,)
            The last Close.
        """
        raw = self.prices[list(self.features)].to_numpy(np.float64)[-self.lag :]
        anchor = self.close[-1:]
        return self.scaler.inputs(raw[None], anchor), anchor


def make_windows(
    prices: pd.DataFrame,
    lag: int = 20,
    horizon: int = 1,
    features: Sequence[str] = ("Close",),
    scaling: str = "window",
    split: Sequence[float] = (0.8, 0.1, 0.1),
) -> Windows:
    """Cut prices into samples, split them by date and scale them without looking ahead.

    The rows are split by date. A sample belongs to the part that holds its targets, and is dropped if they
    straddle two; its inputs may reach back into an earlier part. Everything fitted sees the training rows
    only.

    Parameters
    ----------
    prices : DataFrame
        Close and the features, one row per session, dates ascending; as from `load_prices`.
    lag : int
        Sessions the network sees, T >= 1.
    horizon : int
        Sessions it predicts, m >= 1.
    features : sequence of str
        Input columns among Open, High, Low, Close and Volume.
    scaling : {"window", "standard", "minmax", "none"}
        See `Scaler`.
    split : sequence of 3 float
        Shares of the rows for training, validation and test: each above 0, together 1.

    Returns
    -------
    Windows

    Raises
    ------
    OptionError
        An argument cannot be used, or leaves a part without a sample.
    DataError
        The prices cannot be used: no Close, dates out of order, a price that is not positive, or no
        variation.
    """
    lag, horizon = _whole_number("lag", lag), _whole_number("horizon", horizon)
    features, fractions = _checked_features(features, prices), _checked_fractions(split)
    if scaling not in SCALINGS:
        raise OptionError(f"scaling must be one of {', '.join(SCALINGS)}, not {scaling!r}.")
    if scaling == "window" and lag == 1 and {"Close", "Volume"}.issuperset(features):
        raise OptionError(
            f"Window scaling with lag 1 makes {' and '.join(features)} identically 0: use a lag of 2 or "
            "more, another feature, or another scaling."
        )
    _check_prices(prices, features)

    rows = len(prices)
    train_end, validation_end = round(rows * fractions[0]), round(rows * (fractions[0] + fractions[1]))
    bounds = {
        "train": (0, train_end),
        "validation": (train_end, validation_end),
        "test": (validation_end, rows),
    }
    # The targets t+1 ... t+m must lie in [start, stop), and the first origin with a whole window is lag - 1.
    origins = {name: np.arange(max(start, lag) - 1, stop - horizon) for name, (start, stop) in bounds.items()}
    for name, (start, stop) in bounds.items():
        if origins[name].size == 0:
            raise OptionError(
                f"lag {lag} and horizon {horizon} leave no {name} sample, for that part has {stop - start} "
                f"of {rows} rows: use a smaller lag or horizon, another split, or more years of prices."
            )

    scaler = Scaler.fit(prices.iloc[:train_end], features, scaling)
    samples = _samples(prices, scaler, lag, horizon)

    def make_split(name: str) -> Split:
        # The origin of sample i is row lag - 1 + i.
        first, last = origins[name][0] - (lag - 1), origins[name][-1] - (lag - 1) + 1
        x, y, anchors, actual = (np.ascontiguousarray(part[first:last]) for part in samples)
        return Split(name, x, y, origins[name], anchors, actual)

    return Windows(
        prices=prices,
        lag=lag,
        horizon=horizon,
        features=features,
        scaler=scaler,
        train_rows=train_end,
        validation_rows=validation_end - train_end,
        train=make_split("train"),
        validation=make_split("validation"),
        test=make_split("test"),
    )


def all_samples(
    prices: pd.DataFrame, lag: int, horizon: int, features: Sequence[str], scaling: str
) -> tuple[Scaler, FloatArray, FloatArray]:
    """Every sample of some prices, for training on all rows.

    Parameters
    ----------
    prices, lag, horizon, features, scaling
        As `make_windows` has accepted them.

    Returns
    -------
    scaler : Scaler
        Fitted on all rows.
    x : ndarray (n, T, F)
    y : ndarray (n, m)
        One sample for every origin with a whole window before and all targets after it.
    """
    scaler = Scaler.fit(prices, features, scaling)
    x, y, _, _ = _samples(prices, scaler, lag, horizon)
    return scaler, x, y


def _samples(
    prices: pd.DataFrame, scaler: Scaler, lag: int, horizon: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scaled inputs and targets, anchors and later closes of the origins lag - 1 ... n_rows - 1 - horizon."""
    close = prices["Close"].to_numpy(np.float64)
    values = prices[list(scaler.features)].to_numpy(np.float64)
    raw = sliding_window_view(values, lag, axis=0).transpose(0, 2, 1)[:-horizon]
    anchors = close[lag - 1 : -horizon]
    actual = sliding_window_view(close[lag:], horizon)
    return scaler.inputs(raw, anchors), scaler.targets(actual, anchors), anchors, actual


def _whole_number(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise OptionError(f"{name} must be a whole number of at least 1, not {value!r}.")
    return int(value)


def _checked_features(features: Sequence[str], prices: pd.DataFrame) -> tuple[str, ...]:
    known = ", ".join(FEATURES)
    if isinstance(features, str) or not features or len(set(features)) < len(features):
        raise OptionError(f"features must be one or more different names among {known}, not {features!r}.")
    for feature in features:
        if feature not in FEATURES:
            raise OptionError(f"{feature!r} is not a feature: choose among {known}.")
        if feature != "Close" and feature not in prices.columns:
            present = ", ".join(name for name in FEATURES if name in prices.columns)
            raise OptionError(f"These prices have no {feature}: choose features among {present}.")
    return tuple(features)


def _checked_fractions(split: Sequence[float]) -> tuple[float, float, float]:
    try:
        train, validation, test = (float(fraction) for fraction in split)
    except (TypeError, ValueError):
        raise OptionError(
            f"split must be three numbers, for training, validation and test, not {split!r}."
        ) from None
    if not (min(train, validation, test) > 0 and abs(train + validation + test - 1) < 1e-9):
        raise OptionError(f"split must be three fractions above 0 that add up to 1, not {split!r}.")
    return train, validation, test


def _check_prices(prices: pd.DataFrame, features: tuple[str, ...]) -> None:
    if "Close" not in prices.columns:
        raise DataError("The prices have no Close column.")
    if not isinstance(prices.index, pd.DatetimeIndex):
        raise DataError("The prices must be indexed by date (a DatetimeIndex).")
    if not (prices.index.is_monotonic_increasing and prices.index.is_unique):
        raise DataError("The dates of the prices must ascend without repeats: sort them and drop duplicates.")
    for column in dict.fromkeys((*features, "Close")):
        values = prices[column].to_numpy(np.float64)
        usable = np.isfinite(values) & ((values >= 0) if column == "Volume" else (values > 0))
        if not usable.all():
            row = int(np.argmin(usable))
            kind = "a finite number of 0 or more" if column == "Volume" else "a finite number above 0"
            raise DataError(
                f"{column} of {prices.index[row]:%Y-%m-%d} is {values[row]}, but must be {kind}: "
                "mend or drop that row."
            )
