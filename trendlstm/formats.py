"""How numbers are written wherever they are shown: on the console, in pictures and in notebooks."""

import math

DASH = "–"  # what a table shows where there is no value


def figure(value: float | None, style: str) -> str | None:
    """A number in a format; None, which a table shows as a dash, stays None."""
    return None if value is None else format(value, style)


def p_value(value: float | None) -> str | None:
    """A p-value with three decimals."""
    return "<0.001" if value is not None and value < 0.001 else figure(value, ".3f")


def significant(value: float, digits: int = 4) -> str:
    """A number with so many significant digits, and none cut before the point: "0.3202", "1,234", "5.670e-06"."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - math.floor(math.log10(abs(value))))}f}"


def share(value: float | None, low: float | None, high: float | None) -> str | None:
    """A share in percent with its interval; None if one of them is."""
    if value is None or low is None or high is None:
        return None
    return f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
