"""What is kept of a calendar: that it is what exchange_calendars says, and when it is worked out anew."""

import subprocess
import sys

import exchange_calendars
import pandas as pd
import pytest

from trendlstm.caches import cache_folder
from trendlstm.data import closes
from trendlstm.data.closes import recorded_closes


@pytest.fixture(autouse=True)
def new_process(own_cache):
    """An empty cache, and nothing in this process's memory."""
    recorded_closes.cache_clear()
    yield
    recorded_closes.cache_clear()


def asked_again(*years):
    """As a new process has it."""
    recorded_closes.cache_clear()
    return recorded_closes(*years)


@pytest.fixture
def worked_out(monkeypatch):
    """The calendars that have been worked out."""
    names = []

    def get_calendar(name, **years):
        names.append(name)
        return original(name, **years)

    original = exchange_calendars.get_calendar
    monkeypatch.setattr(exchange_calendars, "get_calendar", get_calendar)
    return names


@pytest.mark.filterwarnings("ignore")  # exchange_calendars' own use of pandas
@pytest.mark.parametrize("calendar", ["XNYS", "XTKS", "24/5", "CMES"])
def test_they_are_those_of_the_calendar_when_worked_out_and_when_read(calendar, worked_out):
    start, end = pd.Timestamp("2011-01-01"), pd.Timestamp("2014-12-31")
    expected = exchange_calendars.get_calendar(calendar, start=start, end=end).closes
    worked_out.clear()
    for _ in range(2):
        times, first, last = asked_again(calendar, 2011, 2014)
        pd.testing.assert_series_equal(times, expected, check_names=False, check_freq=False)
        assert times.index.freq is None and (first, last) == (start, end)
    assert worked_out == [calendar]


def test_years_of_which_nothing_is_on_record_are_kept_too():
    made = recorded_closes("XHKG", 2060, 2062)
    read = asked_again("XHKG", 2060, 2062)
    assert len(made.times) == len(read.times) == 0 and made[1:] == read[1:]
    assert read.times.dtype == recorded_closes("XNYS", 2011, 2012).times.dtype


def test_other_years_and_other_calendars_are_others(worked_out):
    for years in ("XNYS", 2011, 2012), ("XNYS", 2011, 2013), ("XLON", 2011, 2012):
        recorded_closes(*years)
    assert worked_out == ["XNYS", "XNYS", "XLON"]


def damage(content):
    return content.replace(b"2012-12-31", b"2012-12-30")


def cut_short(content):
    return content[:100]


def empty(content):
    return b""


@pytest.mark.parametrize("harm", [damage, cut_short, empty])
def test_a_damaged_file_is_made_anew(harm, worked_out):
    whole = recorded_closes("XNYS", 2011, 2012)
    (file,) = cache_folder("calendars").iterdir()
    content = file.read_bytes()
    file.write_bytes(harm(content))
    again = asked_again("XNYS", 2011, 2012)
    assert again.last == whole.last and again.times.equals(whole.times)
    assert worked_out == ["XNYS", "XNYS"] and file.read_bytes() == content


def test_another_version_of_exchange_calendars_works_them_out_anew(worked_out, monkeypatch):
    recorded_closes("XNYS", 2011, 2012)
    monkeypatch.setattr(closes, "version", lambda name: "99")
    for _ in range(2):
        asked_again("XNYS", 2011, 2012)
    assert worked_out == ["XNYS", "XNYS"]
    assert len(list(cache_folder("calendars").iterdir())) == 1


def test_where_nothing_can_be_kept_they_are_worked_out_each_time(tmp_path, monkeypatch, worked_out):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRENDLSTM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    for _ in range(2):
        assert len(asked_again("XNYS", 2011, 2012).times) == 502
    assert worked_out == ["XNYS", "XNYS"]


def test_what_is_kept_is_read_without_exchange_calendars():
    code = """
        import sys
        import pandas as pd
        from trendlstm.data.calendar import next_sessions
        print(next_sessions(pd.Timestamp("2013-03-27"), 2, "XNYS")[1].date(), "exchange_calendars" in sys.modules)
    """
    command = [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())]
    said = [
        subprocess.run(command, check=True, capture_output=True, text=True).stdout.split() for _ in range(2)
    ]
    assert said == [["2013-04-01", "True"], ["2013-04-01", "False"]]
