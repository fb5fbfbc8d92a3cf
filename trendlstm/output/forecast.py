"""What `trendlstm forecast` says beside the table of its forecast."""

from typing import TYPE_CHECKING

from trendlstm.config import WindowConfig
from trendlstm.data.price_level import LEAST_SESSIONS, SMALLEST_CHANGE, PriceLevel
from trendlstm.data.prices import PRICE_COLUMNS
from trendlstm.output.wording import count

if TYPE_CHECKING:
    from trendlstm.output.runs import Run


def level_sentences(level: PriceLevel, window: WindowConfig) -> tuple[str, str]:
    """What was done because of another level of prices, and a warning where that may not be enough; "" for neither.

    Parameters
    ----------
    level : PriceLevel
        Of the newest prices against those that the run kept.
    window : WindowConfig
        The run's.
    """
    model = f"with --scaling {window.scaling} the model knows levels of prices"
    if level.state == "unknown":
        return "", (
            f"{count(level.sessions, 'session')} of these prices are among those that the run kept, fewer than the "
            f"{LEAST_SESSIONS} that would show whether a split or dividends have restated them since: {model}, and "
            "may take these for others."
        )
    if level.state == "different":
        return "", (
            f"These are not the prices that the run was trained on: on {level.sessions:,} common sessions those were "
            f"{level.lowest:.4g} to {level.highest:.4g} times as high, and changed otherwise from day to day; {model}, "
            "and its forecast of others may mean nothing."
        )
    if level.state == "same":
        return "", ""
    steady = level.highest < (1 + SMALLEST_CHANGE) * level.lowest
    varying = "" if steady else f" ({level.lowest:.5g} to {level.highest:.5g})"
    done = (
        "The prices have been restated since training, by a split or dividends: the run's were "
        f"{level.ratio:.5g} times as high{varying} on {level.sessions:,} common sessions. The model is given prices on "
        "the run's level; its forecast is turned back to today's."
    )
    others = [name for name in window.features if name not in PRICE_COLUMNS]
    if not others:
        return done, ""
    stand = (
        "is given to the model as it stands" if len(others) == 1 else "are given to the model as they stand"
    )
    return (
        done,
        f"A split may restate more than prices, but {' and '.join(others)} {stand}: after one, train again.",
    )


def learned_sentence(run: "Run") -> str:
    """What the model of a run has learned from."""
    return f"The model was trained on prices until {run.forecaster.learned_until}" + (
        ", in a final fit on all rows of its run, for the epochs that validation chose."
        if run.is_final_fit
        else "; the validation rows after them chose its epoch."
    )
