"""Windows of prices: samples, their splits by date, and the scaling of what the network sees.

`T` is the lag, `F` the number of features, `m` the horizon. The sample of origin `t` shows the rows `t-T+1
... t` and asks for the closes of the rows `t+1 ... t+m`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from trendlstm.config import FEATURES, SCALINGS, Scaling, WindowConfig
from trendlstm.data.frames import price_table
from trendlstm.data.prices import PRICE_COLUMNS, check_prices
from trendlstm.errors import DataError, OptionError
from trendlstm.notebook import Table, as_html

FloatArray = NDArray[np.float64]

# The rounding of float64 prices alone gives log returns a standard deviation of some 1e-16.
_SMALLEST_SIGMA = 1e-12


@dataclass(frozen=True)
class Scaler:
    """What takes prices to network units and back, fitted on the training rows alone.

    With `C` the Close at the origin (the anchor), `j = T-1 ... 0` and `k = 1 ... m`:

    - `window`: prices ln(P[t-j] / C) / sigma, Volume ln((1 + V) / (1 + mean V of the window)), any other
      column as in `standard`, target ln(C[t+k] / C) / sigma;
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

    scaling: Scaling
    features: tuple[str, ...]
    sigma: float
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    target_centre: float
    target_scale: float

    @classmethod
    def fit(
        cls, prices: pd.DataFrame, features: Sequence[str] = ("Close",), scaling: Scaling = "window"
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
            raise OptionError(f"scaling must be one of {', '.join(SCALINGS)}, but is {scaling!r}.")
        if len(prices) < 3:
            raise DataError(f"{len(prices)} training rows are too few to fit a scaler: give at least 3.")
        columns = [*features, "Close"]  # the target's numbers come last
        values = _columns(prices, columns)
        sigma = float(np.diff(np.log(values[:, -1])).std(ddof=1))
        if sigma < _SMALLEST_SIGMA:
            raise DataError(
                f"The daily log returns of Close do not vary over the {len(prices)} training rows "
                "(sigma = 0), so there is nothing to learn: choose other prices or more years."
            )
        low, high = values.min(axis=0), values.max(axis=0)
        own = np.array([name not in FEATURES for name in columns])
        # the columns whose numbers are fitted; the others have the window's last close for a measure, or none
        fitted = {"window": own, "none": np.zeros_like(own)}.get(scaling, np.ones_like(own))
        constant = fitted & (low == high)
        if constant.any():
            raise DataError(
                f"{columns[np.argmax(constant)]} does not vary over the {len(prices)} training rows, so "
                f"{scaling} scaling is not defined: leave that feature out or choose another scaling."
            )
        centre, scale = np.zeros(len(columns)), np.ones(len(columns))
        if scaling == "minmax":
            centre[fitted], scale[fitted] = low[fitted], (high - low)[fitted]
        else:
            centre[fitted], scale[fitted] = values.mean(axis=0)[fitted], values.std(axis=0)[fitted]
        *centres, target_centre = centre.tolist()
        *scales, target_scale = scale.tolist()
        return cls(
            scaling, tuple(features), sigma, tuple(centres), tuple(scales), target_centre, target_scale
        )

    def restated(self, ratio: float) -> Scaler:
        """Return the scaler that does to prices divided by `ratio` what this one does to the prices themselves.

        Columns that are no prices stay as they are, and so does everything under "window": it is relative.
        """
        if self.scaling == "window":
            return self
        factors = [ratio if name in PRICE_COLUMNS else 1.0 for name in self.features]
        return replace(
            self,
            centre=tuple(number / factor for number, factor in zip(self.centre, factors, strict=True)),
            scale=tuple(number / factor for number, factor in zip(self.scale, factors, strict=True)),
            target_centre=self.target_centre / ratio,
            target_scale=self.target_scale / ratio,
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
            elif feature not in FEATURES:
                scaled[:, :, i] = (values - self.centre[i]) / self.scale[i]
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

    def changes(self, outputs: NDArray[np.floating], anchor: FloatArray) -> FloatArray:
        """Turn numbers in target units into changes of the Close since the origin, as shares; linear in `outputs`.

        Parameters
        ----------
        outputs : ndarray (n, ...)
            In target units.
        anchor : ndarray (n,)
            Close at t.

        Returns
        -------
        ndarray (n, ...), float64
            Log returns ln(P / C_t) under window scaling, else (P - C_t) / C_t.
        """
        outputs = np.asarray(outputs, np.float64)
        if self.scaling == "window":
            return np.multiply(self.sigma, outputs)
        close = anchor.reshape(-1, *[1] * (outputs.ndim - 1))
        return (self.target_centre + self.target_scale * outputs) / close - 1

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

    def __repr__(self) -> str:
        return f"<Split {self.name}: x {self.x.shape}, y {self.y.shape}>"


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

    def __repr__(self) -> str:
        first, last = (f"{date:%Y-%m-%d}" for date in self.dates[[0, -1]])
        train, validation, test = (len(split.x) for split in self.splits)
        return (
            f"<Windows: {len(self.prices)} rows of {', '.join(self.features)}, {first} to {last}, lag {self.lag}, "
            f"horizon {self.horizon}; {train} windows to train, {validation} to validate, {test} to test>"
        )

    @property
    def table(self) -> pd.DataFrame:
        """split, windows (their number), and the first and the last date that they predict: one row per split."""
        rows = [
            {
                "split": split.name,
                "windows": len(split.x),
                "first": self.dates[split.origins[0] + 1],
                "last": self.dates[split.origins[-1] + self.horizon],
            }
            for split in self.splits
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        return as_html(repr(self).strip("<>"), Table("Dates that are predicted", self.table))

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
    prices: pd.DataFrame | pd.Series,
    lag: int = WindowConfig.lag,
    horizon: int = WindowConfig.horizon,
    features: Sequence[str] = WindowConfig.features,
    scaling: Scaling = WindowConfig.scaling,
    split: Sequence[float] = WindowConfig.split,
) -> Windows:
    """Cut prices into samples, split them by date and scale them without looking ahead.

    The rows are split by date. A sample belongs to the part that holds its targets, and is dropped if they
    straddle two; its inputs may reach back into an earlier part. Everything fitted sees the training rows
    only.

    Parameters
    ----------
    prices : DataFrame or Series
        Close and the features, one row per session, dates ascending; as from `load_prices`, or in another form
        that `trendlstm.data.frames.price_table` takes, such as yfinance's.
    lag : int
        Sessions the network sees, T >= 1.
    horizon : int
        Sessions it predicts, m >= 1.
    features : sequence of str
        Input columns: Open, High, Low, Close, Volume, or any other of numbers, which is your own business: it must
        not know more on a day than the day's close did.
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
    config = WindowConfig(
        lag=lag, horizon=horizon, features=_tuple(features), scaling=scaling, split=_tuple(split)
    )
    lag, horizon, features = config.lag, config.horizon, config.features
    prices = price_table(prices)
    check_prices(prices, features)

    rows = len(prices)
    train_share, validation_share, _ = config.split
    train_end, validation_end = round(rows * train_share), round(rows * (train_share + validation_share))
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
                f"lag {lag} and horizon {horizon} leave no {name} sample, because that part has {stop - start} "
                f"of {rows} rows: use a smaller lag or horizon, another split, or more years of prices."
            )

    return _cut(prices, config, train_end, validation_end - train_end, origins)


def fold_windows(
    prices: pd.DataFrame, config: WindowConfig, train_rows: int, validation_rows: int, origins: Sequence[int]
) -> Windows:
    """The samples of one fold of a backtest: to learn from, to validate, and those whose outcome is not known yet.

    Parameters
    ----------
    prices : DataFrame
        As `check_prices` has accepted them; the rows that the fold may see, up to its last origin.
    config : WindowConfig
        Its `split` is not used.
    train_rows, validation_rows : int
        The rows to learn from are the first of `prices`, those to validate come next. What follows up to the first
        origin is a gap.
    origins : sequence of int
        Ascending rows of the days on which forecasts are made, from train_rows + validation_rows - 1 up.

    Returns
    -------
    Windows
        `test.y` and `test.actual` are NaN.

    Raises
    ------
    OptionError
        A part has too few rows for a sample.
    DataError
        See `Scaler.fit`.
    """
    lag, horizon = config.lag, config.horizon
    rows = {
        "train": np.arange(lag - 1, train_rows - horizon),
        "validation": np.arange(max(train_rows, lag) - 1, train_rows + validation_rows - horizon),
        "test": np.asarray(origins),
    }
    for name, count in (("train", train_rows), ("validation", validation_rows)):
        if rows[name].size == 0:
            raise OptionError(
                f"lag {lag} and horizon {horizon} leave no {name} sample on {prices.index[-1]:%Y-%m-%d}, because that "
                f"part has {count} rows: use a smaller lag or horizon, fewer test years, or more years of prices."
            )
    return _cut(prices, config, train_rows, validation_rows, rows)


def _cut(
    prices: pd.DataFrame,
    config: WindowConfig,
    train_rows: int,
    validation_rows: int,
    origins: Mapping[str, NDArray[np.intp]],
) -> Windows:
    """Windows with the scaler of the training rows and the samples of the given origins, by split."""
    scaler = Scaler.fit(prices.iloc[:train_rows], config.features, config.scaling)
    values = _columns(prices, (*config.features, "Close"))
    return Windows(
        prices=prices,
        lag=config.lag,
        horizon=config.horizon,
        features=config.features,
        scaler=scaler,
        train_rows=train_rows,
        validation_rows=validation_rows,
        **{
            name: Split(name, x, y, rows, anchors, actual)
            for name, rows in origins.items()
            for x, y, anchors, actual in [_samples(values, scaler, rows, config.lag, config.horizon)]
        },
    )


def all_samples(
    prices: pd.DataFrame, lag: int, horizon: int, features: Sequence[str], scaling: Scaling
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
    values = _columns(prices, (*features, "Close"))
    x, y, _, _ = _samples(values, scaler, np.arange(lag - 1, len(values) - horizon), lag, horizon)
    return scaler, x, y


def _columns(prices: pd.DataFrame, names: Sequence[str]) -> FloatArray:
    """Columns side by side, (n_rows, n_names), each contiguous. For a few names, a tenth of the time of pandas' own."""
    return np.array([prices[name].to_numpy(np.float64) for name in names]).T


def _samples(
    values: FloatArray, scaler: Scaler, origins: NDArray[np.intp], lag: int, horizon: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Scaled inputs and targets, anchors and later closes of some origins; NaN after the last row.

    `values` (n_rows, F + 1) are the features and, last, the Close.
    """
    close = values[:, -1]
    raw = sliding_window_view(values[:, :-1], lag, axis=0).transpose(0, 2, 1)[origins - (lag - 1)]
    anchors = close[origins]
    later = np.concatenate([close, np.full(horizon, np.nan)])
    actual = sliding_window_view(later[1:], horizon)[origins]
    return scaler.inputs(raw, anchors), scaler.targets(actual, anchors), anchors, actual


def _tuple(values: Any) -> Any:
    """A list, an array or another sequence as the tuple that a setting is; anything else is left to the checks."""
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else values
