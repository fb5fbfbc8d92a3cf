"""Prices from Yahoo through yfinance: one request, its faults by name, and patience with those that pass."""

import logging
import math
import random
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd

from trendlstm.caches import cache_folder
from trendlstm.data import calendar as calendars
from trendlstm.data.prices import SourcePrices, adjust, clean_prices
from trendlstm.errors import SourceError

RETRY_SECONDS = 60.0
# The closing auction's price reaches Yahoo some minutes after the close; before that its "close" is the last trade.
SETTLING = pd.Timedelta(minutes=30)
# Faults that stay while one waits: no such host, a proxy that refuses, a certificate that is not trusted.
_LASTING = ("DNSError", "ProxyError", "CertificateVerifyError")

logger = logging.getLogger("trendlstm")
sleep = time.sleep
clock = time.monotonic
_yfinance_lock = threading.Lock()  # its settings are the process's


class FaultError(Exception):
    """Yahoo was not reached or answered with something else than prices; `lasting` if waiting is no use."""

    def __init__(self, reason: str, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting


def last_session(ticker: str) -> pd.Timestamp:
    """Return the last complete session of the exchange that the ticker's name tells."""
    return calendars.last_complete_session(
        calendars.calendar_of(None, ticker), calendars.utc_now() - SETTLING
    )


def fetch_yahoo(ticker: str, start: pd.Timestamp, patient: bool = True) -> SourcePrices:
    """Fetch a ticker's daily prices up to the last complete session of its exchange.

    yfinance is asked for unadjusted prices and the adjustment is made here, as yfinance would: where Yahoo leaves
    the adjusted close out, yfinance takes the unadjusted one for it without a word, and afterwards that cannot be seen.

    Parameters
    ----------
    ticker : str
        Yahoo's ticker, in upper case.
    start : pandas.Timestamp
        tz-naive date to ask from.
    patient : bool
        Whether to try again also after faults that seem to last, such as a name that does not resolve.

    Returns
    -------
    SourcePrices
        All rows of the answer, adjusted for dividends and splits and checked.

    Raises
    ------
    SourceError
        Yahoo was not reached within about a minute of retries, has no prices for this ticker, or did not adjust them.
    DataError
        A row is refused; see `trendlstm.data.prices.clean_prices`.
    """
    now = calendars.utc_now()
    end = last_session(ticker) + pd.Timedelta(days=1)  # exclusive
    raw, exchange = _with_retries(lambda: ask_once(ticker, start, end), ticker, patient)

    calendar = calendars.calendar_of(exchange, ticker)
    complete = calendars.last_complete_session(calendar, now - SETTLING)
    raw = raw.loc[:complete]
    if raw["Close"].isna().all():
        raise SourceError(
            f"Yahoo has no prices of {ticker} from {start:%Y-%m-%d} to {complete:%Y-%m-%d}; check the ticker."
        )
    _check_adjustment(raw, ticker)
    frame, notices = clean_prices(raw, f"Yahoo's prices of {ticker}")
    frame = adjust(frame)

    if exchange is not None and not calendars.is_known_exchange(exchange):
        notices.append(
            f"Yahoo's exchange code {exchange} of {ticker} is not known here; its trading days are taken from the "
            f"calendar {calendar}, choose another by name if that is wrong."
        )
    newest = frame.index[-1]
    fresh_until = calendars.next_close(calendar, complete) + SETTLING if newest == complete else None
    return SourcePrices(
        frame=frame,
        source="yahoo",
        calendar=calendar,
        adjusted=True,
        exchange=exchange,
        asked_from=f"{start:%Y-%m-%d}",
        fetched_at=now.isoformat(timespec="seconds"),
        fresh_until=fresh_until.isoformat() if fresh_until is not None else None,
        notices=tuple(notices),
    )


def _with_retries(ask: Callable[[], Any], ticker: str, patient: bool) -> Any:
    """Call `ask` until it succeeds, with pauses of 1, 2, 4, … s, each up to a quarter more or less, for a minute."""
    deadline = clock() + RETRY_SECONDS
    pause = 1.0
    while True:
        try:
            return ask()
        except FaultError as fault:
            seconds = pause * random.uniform(0.75, 1.25)
            if fault.lasting and not patient:
                raise SourceError(f"Yahoo gave no prices of {ticker}: {fault}.") from fault
            if clock() + seconds > deadline:
                raise SourceError(
                    f"Yahoo gave no prices of {ticker}, also when asked again: {fault}."
                ) from fault
            _count_down(seconds, str(fault))
            pause *= 2


def _count_down(seconds: float, reason: str) -> None:
    """Wait, and say so: one warning, then one info record a second whose attribute `countdown` is what is left."""
    logger.warning("Yahoo: %s; trying again in %d s.", reason, math.ceil(seconds))
    for left in range(math.ceil(seconds), 0, -1):
        logger.info("Asking Yahoo again in %d s.", left, extra={"countdown": left})
        sleep(min(1.0, seconds - (left - 1)))


def ask_once(ticker: str, start: pd.Timestamp, end: pd.Timestamp) -> tuple[pd.DataFrame, str | None]:
    """Make one request, without patience, checks or adjustment.

    Parameters
    ----------
    ticker : str
        Yahoo's ticker, in upper case.
    start, end : pandas.Timestamp
        tz-naive dates; the second is exclusive.

    Returns
    -------
    frame : pandas.DataFrame
        Unadjusted rows, tz-naive.
    exchange : str or None
        Yahoo's code of the exchange.

    Raises
    ------
    SourceError
        Yahoo has no prices of this ticker.
    FaultError
        Anything else that went wrong.
    """
    import yfinance
    from yfinance.data import YfData
    from yfinance.exceptions import YFRateLimitError, YFTickerMissingError

    folder = _yfinance_folder()
    try:
        with _settings_for_one_call(yfinance, folder):
            YfData.cache_get.cache_clear()  # yfinance keeps answers for past dates in memory, also faulty ones
            asked = yfinance.Ticker(ticker)
            frame = asked.history(
                start=f"{start:%Y-%m-%d}",
                end=f"{end:%Y-%m-%d}",
                interval="1d",
                auto_adjust=False,
                actions=True,
                keepna=True,  # rows without prices are dropped by clean_prices, which says so
            )
            exchange = asked.get_history_metadata().get("exchangeName")
    except YFRateLimitError as error:
        raise FaultError("too many requests (HTTP 429)") from error
    except YFTickerMissingError as error:
        raise SourceError(
            f"Yahoo has no prices of {ticker} ({error.rationale}); check the ticker."
        ) from error
    except (
        Exception
    ) as error:  # yfinance lets through whatever its HTTP library, JSON parser and database raise
        status = getattr(getattr(error, "response", None), "status_code", None) or 0
        if (
            400 <= status < 500
        ):  # asked after a chart without a time zone, which is how an unknown ticker begins
            raise SourceError(
                f"Yahoo has no prices of {ticker} (HTTP {status}); check the ticker."
            ) from error
        text = re.sub(r"^Failed to perform, |\. See https?://.*", "", str(error))
        lasting = type(error).__name__ in _LASTING or "resolve" in text.lower()
        raise FaultError(f"{type(error).__name__}: {text}"[:300], lasting) from error
    frame.index = frame.index.tz_localize(None).normalize()
    return frame, exchange


def _yfinance_folder() -> Path:
    """Where yfinance keeps time zones and cookies; one that cannot be made it does without."""
    with suppress(OSError):
        return cache_folder("yfinance", make=True)
    return cache_folder("yfinance")


@contextmanager
def _settings_for_one_call(yfinance: Any, folder: Path) -> Iterator[None]:
    """Let yfinance raise its errors, keep quiet and use our own folder; put back the process's settings afterwards."""
    log = logging.getLogger("yfinance")
    with _yfinance_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # yfinance's own use of pandas is deprecated
        hidden, level = yfinance.config.debug.hide_exceptions, log.level
        try:
            yfinance.config.debug.hide_exceptions = False
            log.setLevel(logging.CRITICAL + 1)
            yfinance.set_tz_cache_location(str(folder))
            yield
        finally:
            yfinance.config.debug.hide_exceptions = hidden
            log.setLevel(level)


def _check_adjustment(raw: pd.DataFrame, ticker: str) -> None:
    """Refuse rows whose adjusted close is the close everywhere although a dividend was paid on the way."""
    payments = raw[[column for column in ("Dividends", "Capital Gains") if column in raw]].sum(axis=1)
    paid = raw.index[1:][payments.iloc[1:] > 0]
    if len(paid) and (raw["Adj Close"] == raw["Close"])[raw["Close"].notna()].all():
        raise SourceError(
            f"Yahoo's prices of {ticker} are not adjusted for the dividend of {paid[0]:%Y-%m-%d}; try again later, or "
            "give the prices as a CSV file."
        )
