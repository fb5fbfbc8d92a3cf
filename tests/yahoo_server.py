"""A loopback server that speaks Yahoo's chart JSON, for the real yfinance."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd
from loopback import serving

HOSTS = ("https://query1.finance.yahoo.com", "https://query2.finance.yahoo.com", "https://finance.yahoo.com")


def random_walk(start="2019-01-01", end="2025-06-20", every_day=False, dividends=(), seed=0):
    """Raw rows as Yahoo has them: Open High Low Close Volume and an Adj Close lowered by the dividends to come."""
    dates = pd.date_range(start, end) if every_day else pd.bdate_range(start, end)
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, len(dates))))
    open_ = close * np.exp(random.normal(0, 0.01, len(dates)))
    frame = pd.DataFrame({"Open": open_, "High": np.maximum(open_, close) * 1.01,
                          "Low": np.minimum(open_, close) * 0.99, "Close": close,
                          "Volume": random.integers(1, 10**8, len(dates))}, index=dates)  # fmt: skip
    factor = pd.Series(1.0, index=dates)
    for date, amount in dict(dividends).items():
        factor[dates < date] *= 1 - amount / frame["Close"][dates < date].iloc[-1]
    frame["Adj Close"] = frame["Close"] * factor
    return frame


class YahooServer(ThreadingHTTPServer):
    """Serves `rows` for every ticker but UNKNOWN.

    `faults` are taken one per answer in turn ("429" and "500" twice: yfinance asks again at once), then `always`.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.rows = random_walk()
        self.dividends, self.splits = {}, {}
        self.exchange, self.timezone = "NMS", "America/New_York"
        self.live_row = True  # Yahoo appends the newest trade even after the end that was asked for
        self.without_adjusted = False
        self.faults, self.always = [], None
        self.asked = []

    def next_fault(self):
        return self.faults.pop(0) if self.faults else self.always

    def chart(self, query):
        meta = {"currency": "USD", "symbol": "X", "exchangeName": self.exchange, "instrumentType": "EQUITY",
                "exchangeTimezoneName": self.timezone, "timezone": "EST", "gmtoffset": -18000, "priceHint": 2,
                "firstTradeDate": 0, "regularMarketTime": 1749844800, "dataGranularity": "1d", "range": "",
                "validRanges": ["1d", "max"]}  # fmt: skip
        result = {"meta": meta, "indicators": {"quote": [{}]}}
        if "period1" in query:
            begin, end = int(query["period1"][0]), int(query["period2"][0])
            seconds = self._seconds(self.rows.index)
            wanted = (seconds >= begin) & (seconds < end)
            later = np.flatnonzero(seconds >= end)
            if self.live_row and wanted.any():
                wanted[later[:1]] = True
            rows, days = self.rows[wanted], self.rows.index[wanted]
            if len(rows):
                result["timestamp"] = seconds[wanted].tolist()
                quote = {
                    name.lower(): _jsonable(rows[name]) for name in ("Open", "High", "Low", "Close", "Volume")
                }
                result["indicators"] = {"quote": [quote]}
                if not self.without_adjusted:
                    result["indicators"]["adjclose"] = [{"adjclose": _jsonable(rows["Adj Close"])}]
            events = {}
            for kind, source in (("dividends", self.dividends), ("splits", self.splits)):
                inside = {day: value for day, value in source.items() if pd.Timestamp(day) in days}
                if inside:
                    events[kind] = {day: self._event(kind, day, value) for day, value in inside.items()}
            if events:
                result["events"] = events
        return {"chart": {"result": [result], "error": None}}

    def _seconds(self, days):
        opening = (days + pd.Timedelta(hours=9.5)).tz_localize(self.timezone)
        return (opening - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(seconds=1)

    def _event(self, kind, day, value):
        date = int(self._seconds(pd.Timestamp(day)))
        if kind == "dividends":
            return {"amount": value, "date": date}
        return {"date": date, "numerator": value, "denominator": 1, "splitRatio": f"{value}:1"}


def _jsonable(column):
    return [None if pd.isna(value) else float(value) for value in column]


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, url = self.server, urlsplit(self.path)
        query = parse_qs(url.query)
        server.asked.append((url.path, {name: values[0] for name, values in query.items()}))
        if "/v8/finance/chart/" not in url.path or url.path.endswith("/UNKNOWN"):
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return self._answer(404, json.dumps({"chart": {"result": None, "error": error}}))
        fault = server.next_fault()
        body = json.dumps(server.chart(query))
        if fault == "429":
            return self._answer(429, "Too Many Requests\r\n")
        if fault == "500":
            return self._answer(500, "<html>Internal Server Error</html>")
        if fault == "drop":
            self.close_connection = True
            return None
        if fault == "truncate":
            return self._answer(200, body[: len(body) // 2])
        if fault == "cut":
            return self._answer(200, body[: len(body) // 2], length=len(body))
        return self._answer(200, body)

    def _answer(self, status, text, length=None):
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length or len(content)))
        self.end_headers()
        self.wfile.write(content)


def serve():
    return serving(YahooServer())


def redirect_yfinance(url, setattr=setattr):
    """Send the real yfinance to `url`: its base URLs are copied into each module, the cookie's host is a literal."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import yfinance.base
        import yfinance.cache
        import yfinance.data

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "yfinance":
            for constant, value in list(vars(module).items()):
                host = next(
                    (host for host in HOSTS if isinstance(value, str) and value.startswith(host)), None
                )
                if host:
                    setattr(module, constant, url + value.removeprefix(host))
    setattr(yfinance.data.YfData, "_get_cookie_and_crumb", lambda self, timeout=30: (None, "basic"))
    setattr(yfinance.cache._TzCacheManager, "_tz_cache", None)
    setattr(yfinance.base, "_tz_info_fetch_ctr", 0)
