"""Trading days: which exchange a ticker trades on, its last complete session and its next ones."""

import logging
import re
import warnings

import pandas as pd

from trendlstm.data.closes import recorded_closes
from trendlstm.errors import OptionError

EVERY_DAY = "24/7"
DEFAULT_CALENDAR = "XNYS"

# calendar of exchange_calendars: (Yahoo's exchange codes, Yahoo's ticker suffixes)
_EXCHANGES = {
    "XNYS": ("NMS NGM NCM NYQ ASE PCX BTS NAS PNK OQB OQX OEM NIM SNP DJI CXI CBO WCB", ""),
    "24/7": ("CCC", ""),
    "24/5": ("CCY", ""),
    "CMES": ("CME CBT NYM CMX", ""),
    "ASEX": ("ATH", "AT"),
    "BVMF": ("SAO", "SA"),
    "XAMS": ("AMS", "AS"),
    "XASX": ("ASX", "AX"),
    "XBKK": ("SET", "BK"),
    "XBOM": ("NSI BSE", "NS BO"),
    "XBRU": ("BRU", "BR"),
    "XBUD": ("BUD", "BD"),
    "XBUE": ("BUE", "BA"),
    "XCSE": ("CPH", "CO"),
    "XDUB": ("ISE", "IR"),
    "XDUS": ("DUS", "DU"),
    "XETR": ("GER", "DE"),
    "XFRA": ("FRA BER HAN MUN", "F BE HA MU"),
    "XHAM": ("HAM", "HM"),
    "XHEL": ("HEL", "HE"),
    "XHKG": ("HKG", "HK"),
    "XICE": ("ICE", "IC"),
    "XIDX": ("JKT", "JK"),
    "XIST": ("IST", "IS"),
    "XJSE": ("JNB", "JO"),
    "XKAR": ("KAR", "KA"),
    "XKLS": ("KLS", "KL"),
    "XKRX": ("KSC KOE", "KS KQ"),
    "XLIS": ("LIS", "LS"),
    "XLON": ("LSE IOB FGI", "L IL"),
    "XMAD": ("MCE", "MC"),
    "XMEX": ("MEX", "MX"),
    "XMIL": ("MIL", "MI"),
    "XNZE": ("NZE", "NZ"),
    "XOSL": ("OSL", "OL"),
    "XPAR": ("PAR", "PA"),
    "XPHS": ("PHS", "PS"),
    "XPRA": ("PRA", "PR"),
    "XSAU": ("SAU", "SR"),
    "XSES": ("SES", "SI"),
    "XSGO": ("SGO", "SN"),
    "XSHG": ("SHH SHZ", "SS SZ"),
    "XSTO": ("STO", "ST"),
    "XSTU": ("STU", "SG"),
    "XSWX": ("EBS", "SW"),
    "XTAE": ("TLV", "TA"),
    "XTAI": ("TAI TWO", "TW TWO"),
    "XTKS": ("JPX OSA TYO", "T"),
    "XTSE": ("TOR VAN NEO CNQ", "TO V NE CN"),
    "XWAR": ("WSE", "WA"),
    "XWBO": ("VIE", "VI"),
}
_BY_CODE = {code: calendar for calendar, (codes, _) in _EXCHANGES.items() for code in codes.split()}
_BY_SUFFIX = {
    suffix: calendar for calendar, (_, suffixes) in _EXCHANGES.items() for suffix in suffixes.split()
}

logger = logging.getLogger("trendlstm")


def utc_now() -> pd.Timestamp:
    """Return the current time, tz-aware in UTC: the one clock of the data layer."""
    return pd.Timestamp.now("UTC")


def years_before(date: pd.Timestamp, years: float) -> pd.Timestamp:
    """Return the date `years` (whole or fractional, in years of 365.25 days) before `date`."""
    whole = int(years)
    return date - pd.DateOffset(years=whole) - pd.Timedelta(days=round((years - whole) * 365.25))


def is_known_exchange(exchange: str) -> bool:
    """Whether `calendar_of` knows this code of Yahoo's."""
    return exchange in _BY_CODE


def calendar_of(exchange: str | None, ticker: str) -> str:
    """Trading calendar of a ticker.

    Parameters
    ----------
    exchange : str or None
        Yahoo's exchange code, such as ``NMS``, where it is known.
    ticker : str
        Yahoo's ticker. Decides where the code is None or unknown: ``BTC-USD`` trades every day, ``EURUSD=X`` on
        weekdays, ``ES=F`` with the CME, ``7203.T`` by its suffix, anything else with New York.

    Returns
    -------
    str
        A name of `exchange_calendars`, such as ``XNYS``, or ``24/7``.
    """
    if exchange in _BY_CODE:
        return _BY_CODE[exchange]
    ticker = ticker.upper()
    if ticker.endswith("=X"):
        return "24/5"
    if ticker.endswith("=F"):
        return "CMES"
    if re.search(r"[^.]-[A-Z]{3}$", ticker):  # share classes (BRK-B) have fewer letters than currencies
        return EVERY_DAY
    return _BY_SUFFIX.get(ticker.rpartition(".")[2] if "." in ticker else "", DEFAULT_CALENDAR)


def check_calendar(calendar: str) -> str:
    """Return the name of a trading calendar, or refuse it.

    Raises
    ------
    OptionError
        `exchange_calendars` has no calendar of this name.
    """
    if calendar not in _EXCHANGES:
        import exchange_calendars

        if calendar not in exchange_calendars.get_calendar_names(include_aliases=True):
            raise OptionError(
                f"There is no trading calendar {calendar!r}; give a name of exchange_calendars such as XNYS, XLON or "
                f"XTKS, or {EVERY_DAY} for prices of every day."
            )
    return calendar


def next_sessions(after: pd.Timestamp, count: int, calendar: str) -> pd.DatetimeIndex:
    """Return the next trading days.

    Parameters
    ----------
    after : pandas.Timestamp
        tz-naive date; the first session returned is later.
    count : int
        Number of sessions, at least 1.
    calendar : str
        Name of `exchange_calendars`, or ``24/7``.

    Returns
    -------
    pandas.DatetimeIndex
        `count` ascending dates, tz-naive, named Date. Beyond the years for which the calendar knows its holidays
        they are weekdays, and a warning says so.

    Raises
    ------
    OptionError
        Unknown calendar, or `count` below 1.
    """
    if count < 1:
        raise OptionError(f"The number of sessions must be 1 or more, not {count}.")
    start = pd.Timestamp(after).normalize() + pd.Timedelta(days=1)
    if calendar == EVERY_DAY:
        return pd.date_range(start, periods=count, name="Date", unit="ns")
    # No exchange of the last decades opens on fewer than 200 days a year or closes for more than some weeks.
    closes, first, last = _closes(calendar, start, start + pd.Timedelta(days=60 + 2 * count))
    sessions = closes.index[:count]
    if sessions[0] < first or sessions[-1] > last:
        beyond = f"before {first:%Y-%m-%d}" if sessions[0] < first else f"after {last:%Y-%m-%d}"
        logger.warning(
            "The calendar %s has no holidays %s; every weekday counts as a session there.", calendar, beyond
        )
    return pd.DatetimeIndex(sessions, name="Date").as_unit("ns")


def is_session(date: pd.Timestamp, calendar: str) -> bool:
    """Whether the calendar has a session on this tz-naive date."""
    return bool(next_sessions(date - pd.Timedelta(days=1), 1, calendar)[0] == date)


def known_sessions(start: pd.Timestamp, end: pd.Timestamp, calendar: str) -> pd.DatetimeIndex:
    """Return the sessions from `start` to `end`, both tz-naive, of the years for which holidays are on record."""
    if calendar == EVERY_DAY:
        return pd.date_range(start, end)
    closes, first, last = _closes(calendar, start, end)
    return pd.DatetimeIndex(closes.loc[first:last].index)


def time_zone(calendar: str) -> str:
    """Return the name of the exchange's time zone, such as ``America/New_York``."""
    if calendar == EVERY_DAY:
        return "UTC"
    import exchange_calendars

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exchange_calendars' own use of pandas is deprecated
        return str(exchange_calendars.get_calendar(calendar).tz)


def last_complete_session(calendar: str, now: pd.Timestamp | None = None) -> pd.Timestamp:
    """Return the newest trading day whose close has passed.

    Parameters
    ----------
    calendar : str
        Name of `exchange_calendars`, or ``24/7``, whose days end at midnight UTC.
    now : pandas.Timestamp, optional
        tz-aware; default the current time.

    Returns
    -------
    pandas.Timestamp
        A tz-naive date.

    Raises
    ------
    OptionError
        Unknown calendar.
    """
    now = (utc_now() if now is None else now).tz_convert("UTC")
    today = now.tz_localize(None).normalize()
    if calendar == EVERY_DAY:
        return today - pd.Timedelta(days=1)
    closes, _, _ = _closes(calendar, today - pd.Timedelta(days=60), today + pd.Timedelta(days=1))
    return closes.index[closes <= now][-1]


def next_close(calendar: str, session: pd.Timestamp) -> pd.Timestamp:
    """Return the closing time (tz-aware, UTC) of the first session after the date `session`.

    Raises
    ------
    OptionError
        Unknown calendar.
    """
    if calendar == EVERY_DAY:
        return (session + pd.Timedelta(days=2)).tz_localize("UTC")
    start = session + pd.Timedelta(days=1)
    return _closes(calendar, start, start + pd.Timedelta(days=60))[0].iloc[0]


def _closes(
    calendar: str, start: pd.Timestamp, end: pd.Timestamp
) -> tuple[pd.Series, pd.Timestamp, pd.Timestamp]:
    """Closing times (UTC) from `start` to `end`, indexed by tz-naive date, and between which dates holidays are known.

    Outside those dates weekdays stand for sessions; they close at midnight.
    """
    check_calendar(calendar)
    # whole years, so that calls share them
    known, first, last = recorded_closes(calendar, start.year - 1, max(end.year, start.year + 2))
    days = pd.bdate_range(start, end)
    days = days[(days < first) | (days > last)]
    weekdays = pd.Series((days + pd.Timedelta(days=1)).tz_localize("UTC"), index=days)
    closes = known.loc[start:end]
    parts = [part for part in (closes, weekdays) if len(part)]
    return (pd.concat(parts).sort_index() if len(parts) > 1 else parts[0]), first, last
