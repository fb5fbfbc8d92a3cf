"""Samples as users hold them, checked, and brought into the form that the kernels take."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trendlstm.config import NetworkConfig
from trendlstm.errors import DataError, OptionError

Pair = tuple[ArrayLike, ArrayLike]  # x, y


def check_samples(
    config: NetworkConfig, x: ArrayLike, y: ArrayLike, lengths: ArrayLike | None, prefix: str = ""
) -> tuple[np.ndarray, np.ndarray, NDArray[np.int64]]:
    """Inputs and targets for a network.

    Parameters
    ----------
    config : NetworkConfig
        The network's.
    x : array_like (N, T, F)
    y : array_like (N, m), or (N,) if m is 1, or (N, T, m) for the outputs of every step
        Of the loss "cross-entropy" class numbers, 0 ... K-1.
    lengths : array_like (N,) of int, optional
        Steps of each sample. Default: T for all.
    prefix : str
        Goes before the arrays' names in messages.

    Returns
    -------
    x : ndarray (N, T, F), for a feed-forward cell (N, 1, T * F)
        In the network's dtype and C-contiguous, as `y`; neither is a copy where none is needed.
    y : ndarray (N, m) or (N, T, m)
    lengths : ndarray (N,), int64

    Raises
    ------
    DataError
        An array has the wrong shape, is masked, or holds something that is no finite number, or no class number.
    OptionError
        A feed-forward cell was given `lengths`.
    """
    x, lengths = check_inputs(config, x, lengths, prefix)
    expected = (x.shape[0], config.output_size)
    every_step = (x.shape[0], x.shape[1], config.output_size)
    allowed: dict[int, tuple[int, ...]] = {1: expected[:1]} if config.output_size == 1 else {}
    if config.cell != "ann":
        allowed[3] = every_step
    given = y = finite_array(
        f"{prefix}y", y, allowed.get(getattr(y, "ndim", 2), expected), np.dtype(config.dtype)
    )
    if y.ndim == 1 and config.output_size == 1:
        y = y[:, None]
    if y.shape != expected and (y.shape != every_step or config.cell == "ann"):
        or_every_step = "" if config.cell == "ann" else f", or {every_step} for the outputs of every step"
        is_one_hot = y.ndim > 1 and y.shape[-1] == config.classes
        numbered = ": classes are given by their numbers, not in a column each" if is_one_hot else ""
        raise DataError(f"{prefix}y must have shape {expected}{or_every_step}, but has {y.shape}{numbered}.")
    if config.loss == "cross-entropy":
        _require_classes(f"{prefix}y", given, config.classes)
    return x, y, lengths


def _require_classes(name: str, y: np.ndarray, classes: int) -> None:
    """Refuse targets that are no class numbers; raises DataError."""
    wrong = np.argwhere((y < 0) | (y >= classes) | (y != np.floor(y)))
    if len(wrong):
        where = tuple(int(index) for index in wrong[0])
        raise DataError(
            f"{name} must hold the numbers of classes, whole ones from 0 to {classes - 1}, but {name}{list(where)} is "
            f"{y[where]}."
        )


def check_inputs(
    config: NetworkConfig, x: ArrayLike, lengths: ArrayLike | None, prefix: str = ""
) -> tuple[np.ndarray, NDArray[np.int64]]:
    """As `check_samples`, without targets."""
    steps = config.lag if config.cell == "ann" else None
    expected = (None, steps, config.input_size)
    x = finite_array(f"{prefix}x", x, expected, np.dtype(config.dtype))
    right = x.ndim == 3 and x.size > 0 and x.shape[2] == config.input_size
    if not right or (steps is not None and x.shape[1] != steps):
        raise DataError(
            f"{prefix}x must have shape {_shape_text(expected)} with at least one sample and step, "
            f"but has {x.shape}."
        )
    n, steps = x.shape[:2]
    if config.cell == "ann":
        if lengths is not None:
            raise OptionError("cell 'ann' takes whole windows: leave lengths out.")
        return x.reshape(n, 1, -1), np.full(n, 1)
    if lengths is None:
        counts = np.empty(n, np.int64)
        counts.fill(steps)  # half the time of np.full for one window
        return x, counts
    _refuse_losses("lengths", lengths)
    counts = np.asarray(lengths)
    if counts.shape != (n,) or not np.issubdtype(counts.dtype, np.integer):
        raise DataError(
            f"lengths must be whole numbers of shape ({n},), but has shape {counts.shape} "
            f"and dtype {counts.dtype}."
        )
    if counts.min() < 1 or counts.max() > steps:
        raise DataError(f"lengths must lie in 1 ... {steps}, but go from {counts.min()} to {counts.max()}.")
    return x, np.ascontiguousarray(counts, np.int64)


def finite_array(
    name: str, value: ArrayLike, expected: tuple[int | None, ...], dtype: np.dtype
) -> np.ndarray:
    """`value` as a C-contiguous array of `dtype`.

    Raises
    ------
    DataError
        It is masked, or holds text, gaps or infinities; the message also names a shape that is not `expected`. The
        shape alone is not checked.
    """
    if type(value) is np.ndarray and value.dtype == dtype and value.flags.carray:
        array = value
    else:
        _refuse_losses(name, value)
        try:
            with np.errstate(over="ignore"):  # a value beyond float32 becomes inf, which is refused below
                # writeable, although nothing writes to it: the kernels are compiled for one kind of array
                array = np.require(value, dtype, ["C", "ALIGNED", "WRITEABLE", "ENSUREARRAY"])
        except (TypeError, ValueError, RuntimeError) as error:  # RuntimeError: a tensor that needs a gradient
            shape, reason = _shape_text(expected), str(error).rstrip(".")
            raise DataError(f"{name} must be an array of numbers of shape {shape}: {reason}.") from error
    finite = np.isfinite(array)
    if np.count_nonzero(finite) < finite.size:  # .all() takes five times as long on one window
        where = tuple(int(index) for index in np.argwhere(~finite)[0])
        fits = array.ndim == len(expected) and all(
            want in (None, size) for want, size in zip(expected, array.shape, strict=True)
        )
        shape = "" if fits else f" and of shape {_shape_text(expected)}, not {array.shape}"
        raise DataError(
            f"{name} must be finite as {dtype.name}{shape}, but {name}{list(where)} is {np.asarray(value)[where]}."
        )
    return array


def _refuse_losses(name: str, value: object) -> None:
    """Refuse what NumPy would turn into plain numbers by leaving something out."""
    if getattr(getattr(value, "dtype", None), "kind", "") == "c":
        raise DataError(f"{name} holds complex numbers: give their real and imaginary parts as two features.")
    refuse_mask(name, value)


def refuse_mask(name: str, value: object) -> None:
    """Refuse a masked array, whose mask NumPy and others leave out; raises DataError."""
    if isinstance(value, np.ma.MaskedArray):
        raise DataError(
            f"{name} is a masked array, whose mask would be lost: leave the masked samples out, or fill the gaps "
            f"yourself, and give a plain array."
        )


def _shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape for a message, its free sizes as N and T."""
    return f"({', '.join(str(size or letter) for size, letter in zip(shape, 'NTF', strict=False))})"
