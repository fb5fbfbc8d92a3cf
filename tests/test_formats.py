"""How numbers are written."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trendlstm.formats import p_value, significant


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.32021, "0.3202"),
        (-0.0003359, "-0.0003359"),
        (1234.56, "1,235"),
        (1234567.0, "1,234,567"),
        (5.67e-6, "5.670e-06"),
        (1.0, "1.000"),
        (0.0, "0"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
    ],
)
def test_significant_digits(value, text):
    assert significant(value) == text


@given(st.floats(-1e12, 1e12))
def test_what_is_written_is_the_number_to_four_digits(value):
    assert float(significant(value).replace(",", "")) == pytest.approx(value, rel=0.5e-3, abs=0)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0009, "<0.001"), (0.001, "0.001"), (0.04996, "0.050"), (None, None)]
)
def test_p_values(value, text):
    assert p_value(value) == text
