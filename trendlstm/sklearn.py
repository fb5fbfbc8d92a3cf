"""`LSTMRegressor`: a network as an estimator of scikit-learn, for its pipelines, searches and cross-validation."""

import math
import numbers
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from trendlstm.config import (
    Cell,
    Device,
    DType,
    FitConfig,
    ForgetBias,
    Init,
    NetworkConfig,
    Optimizer,
    Schedule,
)
from trendlstm.errors import DataError, OptionError
from trendlstm.nn.network import Network
from trendlstm.nn.samples import refuse_mask
from trendlstm.version import install_command

try:
    from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.validation import check_consistent_length, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        f"trendlstm.sklearn needs scikit-learn 1.6 or later: {install_command('sklearn')}."
    ) from error


class LSTMRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """A `Network` as a regressor of scikit-learn: each row of X is one window of a time series.

    `fit` gives the weights of `Network.fit` with the same settings, bit for bit. X and y are taken as they are: put a
    scaler before it in a `Pipeline`, and one of y into a `TransformedTargetRegressor`.

    Parameters
    ----------
    lag : int, optional
        T, time steps of a window. Default: that of windows (N, T, F); otherwise every column of X is a step of one
        feature.
    newest_first : bool
        Whether the first step of a window is the newest, as in skforecast, not the oldest, as everywhere else here and
        in sktime. The network reads from the oldest to the newest.
    hidden_size, layers, dropout, recurrent_dropout, dense, cell, dtype, bias, squash_output, init, forget_bias
        As in `Network`.
    epochs, batch_size, learning_rate, patience, clip_norm, weight_decay, shuffle
        As in `Network.fit`. `patience` needs `validation_fraction`.
    optimizer, momentum, schedule, warmup, step_epochs, plateau_patience, schedule_factor
        As in `Network.fit`.
    validation_fraction : float
        The share of the rows, 0 up to below 1 and rounded up to whole rows, that choose the epoch and are not trained
        on: the last rows, because they are a time series. 0: none, and the weights of the last epoch are kept.
    random_state : int, RandomState or None
        The seed of initial values, shuffling and dropout. An int is what `Network` calls `seed`; a RandomState or None
        (NumPy's global one) draws one for each fit.
    n_threads : int, optional
        As in `Network.fit`: all cores unless given. Give 1 where several fits run at once (`n_jobs` of a search),
        because joblib's limits do not reach these threads. The result does not depend on it.
    device : {"cpu", "cuda", "auto"}
        As in `Network.fit`.

    Attributes
    ----------
    network_ : Network
        The trained network; `network_.save(path)` keeps it, `network_.summary()` shows its layers.
    n_iter_ : int
        Epochs run.
    loss_curve_ : ndarray (n_iter_,)
        Mean squared error of each epoch, see `trendlstm.nn.history.History`.
    validation_loss_curve_ : ndarray (n_iter_,) or None
        That of the last rows after each epoch; None without `validation_fraction`.
    n_features_in_ : int
        Columns of X: T * F.
    feature_names_in_ : ndarray (n_features_in_,) of str
        Where X is a table whose column names are all strings.

    Examples
    --------
    >>> import numpy as np
    >>> from trendlstm.sklearn import LSTMRegressor
    >>> wave = np.sin(np.arange(120) / 5)
    >>> windows = np.lib.stride_tricks.sliding_window_view(wave, 9)
    >>> X, y = windows[:, :-1], windows[:, -1]  # 8 steps predict the next
    >>> model = LSTMRegressor(hidden_size=8, dense=(), learning_rate=0.01).fit(X[:-20], y[:-20])
    >>> bool(model.score(X[-20:], y[-20:]) > 0.9)
    True
    """

    def __init__(
        self,
        *,
        lag: int | None = None,
        newest_first: bool = False,
        hidden_size: int | tuple[int, ...] = NetworkConfig.hidden_size,
        layers: int = NetworkConfig.layers,
        dropout: float = NetworkConfig.dropout,
        recurrent_dropout: float = NetworkConfig.recurrent_dropout,
        dense: tuple[int, ...] = NetworkConfig.dense,
        cell: Cell = NetworkConfig.cell,
        dtype: DType | np.dtype[Any] | type[np.float32] | type[np.float64] = NetworkConfig.dtype,
        bias: bool = NetworkConfig.bias,
        squash_output: bool = NetworkConfig.squash_output,
        init: Init = NetworkConfig.init,
        forget_bias: ForgetBias = NetworkConfig.forget_bias,
        epochs: int = FitConfig.epochs,
        batch_size: int = FitConfig.batch_size,
        learning_rate: float = FitConfig.learning_rate,
        patience: int | None = FitConfig.patience,
        clip_norm: float | None = FitConfig.clip_norm,
        weight_decay: float = FitConfig.weight_decay,
        shuffle: bool = FitConfig.shuffle,
        optimizer: Optimizer = FitConfig.optimizer,
        momentum: float | None = FitConfig.momentum,
        schedule: Schedule = FitConfig.schedule,
        warmup: int = FitConfig.warmup,
        step_epochs: int | None = FitConfig.step_epochs,
        plateau_patience: int | None = FitConfig.plateau_patience,
        schedule_factor: float | None = FitConfig.schedule_factor,
        validation_fraction: float = 0.0,
        random_state: int | np.random.RandomState | None = NetworkConfig.seed,
        n_threads: int | None = None,
        device: Device = "cpu",
    ) -> None:
        self.lag = lag
        self.newest_first = newest_first
        self.hidden_size = hidden_size
        self.layers = layers
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.dense = dense
        self.cell = cell
        self.dtype = dtype
        self.bias = bias
        self.squash_output = squash_output
        self.init = init
        self.forget_bias = forget_bias
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.patience = patience
        self.clip_norm = clip_norm
        self.weight_decay = weight_decay
        self.shuffle = shuffle
        self.optimizer = optimizer
        self.momentum = momentum
        self.schedule = schedule
        self.warmup = warmup
        self.step_epochs = step_epochs
        self.plateau_patience = plateau_patience
        self.schedule_factor = schedule_factor
        self.validation_fraction = validation_fraction
        self.random_state = random_state
        self.n_threads = n_threads
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Train a new network.

        Parameters
        ----------
        X : array_like or table (N, T * F), or array_like (N, T, F)
            Windows, the oldest first and the steps of each from the oldest to the newest (see `newest_first`). In two
            dimensions column t * F + f is feature f of step t. Finite; not modified.
        y : array_like (N,) or (N, m)
            Targets.

        Returns
        -------
        LSTMRegressor
            This estimator.

        Raises
        ------
        OptionError, DataError
            A parameter, or what X and y have together, cannot be used (both are ValueErrors).
        ValueError, TypeError
            X or y is not what scikit-learn takes for samples.
        TrainingError
            A loss or weight became infinite or NaN.
        """
        seed = self._seed()
        refuse_mask("X", X)
        refuse_mask("y", y)
        columns, steps = _in_columns(X)
        columns, targets = validate_data(self, columns, y, validate_separately=({}, {"ensure_2d": False}))
        check_consistent_length(columns, targets)
        x = self._windows(columns, self._n_features(columns.shape[1], steps))
        n_train = len(x) - self._n_validation(len(x))
        network = Network(
            input_size=x.shape[2],
            hidden_size=self.hidden_size,
            layers=self.layers,
            dropout=self.dropout,
            recurrent_dropout=self.recurrent_dropout,
            dense=self.dense,
            output_size=1 if targets.ndim == 1 else targets.shape[1],
            cell=self.cell,
            dtype=self.dtype,
            seed=seed,
            lag=x.shape[1],
            bias=self.bias,
            squash_output=self.squash_output,
            init=self.init,
            forget_bias=self.forget_bias,
        )
        history = network.fit(
            x[:n_train],
            targets[:n_train],
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            validation=(x[n_train:], targets[n_train:]) if n_train < len(x) else None,
            patience=self.patience,
            clip_norm=self.clip_norm,
            weight_decay=self.weight_decay,
            shuffle=self.shuffle,
            optimizer=self.optimizer,
            momentum=self.momentum,
            schedule=self.schedule,
            warmup=self.warmup,
            step_epochs=self.step_epochs,
            plateau_patience=self.plateau_patience,
            schedule_factor=self.schedule_factor,
            n_threads=self.n_threads,
            device=self.device,
        )
        self.network_ = network
        self.n_iter_ = history.epochs_run
        self.loss_curve_ = history.loss
        self.validation_loss_curve_ = history.validation_loss
        self._one_dimensional = targets.ndim == 1
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Predict the targets of windows.

        Parameters
        ----------
        X : array_like or table (N, T * F), or array_like (N, T, F)
            As in `fit`; two and three dimensions may be mixed.

        Returns
        -------
        ndarray (N,) or (N, m)
            As `y` was in `fit`. float32 where both X and the network are, otherwise float64.

        Raises
        ------
        NotFittedError
            `fit` was not called.
        ValueError, TypeError
            X is not what `fit` was given.
        """
        check_is_fitted(self)
        refuse_mask("X", X)
        columns, steps = _in_columns(X)
        columns = validate_data(self, columns, reset=False)
        network = self.network_
        if steps not in (None, network.config.lag):
            raise DataError(
                f"X has windows of {steps} steps, but this model was fitted with {network.config.lag}."
            )
        x = self._windows(columns, network.config.input_size)
        outputs = network.predict(x, n_threads=self.n_threads, device=self.device)
        outputs = outputs.astype(np.result_type(columns, outputs), copy=False)
        return outputs[:, 0] if self._one_dimensional else outputs

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _seed(self) -> int:
        generator = check_random_state(self.random_state)
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(generator.randint(np.iinfo(np.int32).max))

    def _n_features(self, n_columns: int, steps: int | None) -> int:
        """F of windows of so many columns; `steps` is T of three-dimensional ones."""
        NetworkConfig(lag=self.lag)  # refuses what is no lag, before it divides the columns
        if steps is not None and self.lag not in (None, steps):
            raise DataError(f"X has windows of {steps} steps, but lag is {self.lag}.")
        steps = steps or self.lag or n_columns
        if n_columns % steps:
            raise DataError(
                f"X has {n_columns} columns, but with lag {steps} it must have {steps} for each feature: give the "
                f"lag of these windows, or windows in three dimensions."
            )
        return n_columns // steps

    def _windows(self, columns: np.ndarray, features: int) -> np.ndarray:
        """Columns (N, T * F) as windows (N, T, F), from the oldest step to the newest."""
        if not isinstance(self.newest_first, bool | np.bool_):
            raise OptionError(f"newest_first must be True or False, but is {self.newest_first!r}.")
        windows = columns.reshape(len(columns), -1, features)
        return windows[:, ::-1] if self.newest_first else windows

    def _n_validation(self, n_samples: int) -> int:
        """How many of the last rows are kept for validation."""
        fraction = self.validation_fraction
        if not isinstance(fraction, numbers.Real) or isinstance(fraction, bool) or not 0 <= fraction < 1:
            raise OptionError(
                f"validation_fraction must be a number from 0 up and below 1, but is {fraction!r}."
            )
        if self.patience is not None and fraction == 0:
            raise OptionError("patience needs validation_fraction, the share of rows whose loss it watches.")
        rows = math.ceil(fraction * n_samples)
        if rows == n_samples:
            raise DataError(
                f"validation_fraction {fraction:g} of n_samples={n_samples} leaves no row to train on: give more "
                f"rows, or a smaller fraction (0 for none)."
            )
        return rows


def _in_columns(X: Any) -> tuple[Any, int | None]:
    """Windows (N, T, F) as the samples that scikit-learn knows, (N, T * F), and T; anything else as it is, and None."""
    ndim = X.ndim if hasattr(X, "ndim") else np.asarray(X).ndim
    if ndim != 3:
        return X, None
    windows = np.asarray(X)
    n, steps, features = windows.shape
    return windows.reshape(n, steps * features), steps
