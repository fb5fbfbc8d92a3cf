"""The vectorised sigmoid and tanh over their whole range, against float64 and mpmath; docs/equations.md has the result.

An ulp is the distance between the neighbouring numbers of the dtype at the exact value.
"""

import re
from pathlib import Path

import mpmath
import numba
import numpy as np
import pytest

from trendlstm.kernels.activations import sigmoid, tanh


@numba.njit
def call_sigmoid(x):
    sigmoid(x)


@numba.njit
def call_tanh(x):
    tanh(x)


KERNELS = {"sigmoid": call_sigmoid, "tanh": call_tanh}
# Below, exp(-x) would soon overflow, and sigmoid stays where it is.
LOWEST = {"float32": -87.0, "float64": -708.0}


def documented_error(name, dtype):
    """The largest error in ulp, rounded up, as the table of the document has it."""
    text = (Path(__file__).parents[2] / "docs" / "equations.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| \$\\{name}\$ \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    return float(row[["float32", "float64"].index(dtype)])


def exact_ulps(name, x, y):
    """Of float64 values y, with 40 digits: an exact value that were rounded to float64 would be half an ulp off."""
    with mpmath.workdps(40):
        wide = [mpmath.mpf(value) for value in x.tolist()]
        exact = [mpmath.tanh(value) if name == "tanh" else 1 / (1 + mpmath.exp(-value)) for value in wide]
        errors = [float(abs(mpmath.mpf(value) - e)) for value, e in zip(y.tolist(), exact, strict=True)]
        return np.array(errors) / np.spacing(np.abs([float(e) for e in exact]))


def check_documented(name, dtype, errors):
    """No error is larger than the document says, and the largest is not much smaller."""
    documented = documented_error("sigma" if name == "sigmoid" else name, dtype)
    assert documented - 0.2 < np.max(errors) <= documented


def ulps(values, expected):
    return np.abs(values.astype(np.float64) - expected) / np.spacing(np.abs(expected).astype(values.dtype))


def computed(name, x):
    values = x.copy()
    KERNELS[name](values)
    return values


@pytest.mark.parametrize("name", KERNELS)
def test_float32_over_all_exponents(name):
    """Every 101st of the 2^32 bit patterns, part by part: subnormal numbers, infinities and NaN are among them."""
    part, largest = 101 * 2**20, []
    for first in range(0, 2**32, part):
        x = np.arange(first, min(first + part, 2**32), 101, dtype=np.uint32).view(np.float32)
        with np.errstate(all="ignore"):
            y, wide = computed(name, x), x.astype(np.float64)
            expected = np.tanh(wide) if name == "tanh" else 1 / (1 + np.exp(-wide))
            np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
            inside = (wide >= LOWEST["float32"]) | ((name == "tanh") & ~np.isnan(x))
            largest.append(np.max(ulps(y[inside], expected[inside]), initial=0))
            if name == "sigmoid":
                assert np.max(y[wide < LOWEST["float32"]], initial=0) < 2e-38
    check_documented(name, "float32", largest)


@pytest.mark.parametrize("name", KERNELS)
def test_float64_over_all_exponents(name):
    rng = np.random.default_rng(0)
    tiny_to_huge = np.concatenate([[5e-324, 1.7e308], np.geomspace(1e-300, 708, 3000)])
    x = np.concatenate([tiny_to_huge, -tiny_to_huge, rng.normal(size=6000) * 5, [0.0, -0.0]])
    x = x[x >= LOWEST["float64"]]
    check_documented(name, "float64", exact_ulps(name, x, computed(name, x)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_infinities_and_nan(dtype):
    x = np.array([-np.inf, np.inf, np.nan], dtype)
    np.testing.assert_array_equal(computed("tanh", x), [-1, 1, np.nan])
    lowest, highest, nan = computed("sigmoid", x)
    assert 0 < lowest < {"float32": 2e-38, "float64": 1e-307}[dtype]
    assert highest == 1
    assert np.isnan(nan)


def test_values_stay_inside_their_range():
    x = np.linspace(-100, 100, 1_000_001).astype(np.float32)
    s, t = computed("sigmoid", x), computed("tanh", x)
    assert s.min() > 0 and s.max() == 1
    assert t.min() == -1 and t.max() == 1
