"""The cache of prices: every bit back, damage refused, several processes."""

import gzip
import json
import multiprocessing
import os

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from price_tables import notices, prices_frame

from trendlstm.data import cache
from trendlstm.data.prices import SourcePrices, rows_sha256
from trendlstm.data.sources import load_prices
from trendlstm.errors import DataError, SourceError

pytestmark = pytest.mark.usefixtures("own_cache")


def price_set(frame, **changes):
    fields = {
        "source": "yahoo",
        "calendar": "XNYS",
        "adjusted": True,
        "exchange": "NMS",
        "asked_from": "2019-12-01",
        "fetched_at": "2021-03-01T00:00:00+00:00",
        "fresh_until": "2021-03-01T21:30:00+00:00",
    }
    return SourcePrices(frame=frame, **(fields | changes))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(scale=st.floats(1e-8, 1e8), seed=st.integers(0, 10**6), count=st.integers(1, 40))
def test_cache_gives_back_every_bit(scale, seed, count):
    frame = prices_frame(count, seed=seed) * scale
    stored = price_set(frame, notices=("one", "two"))
    cache.write_cache("MSFT", stored)
    read = cache.read_cache("MSFT")
    pd.testing.assert_frame_equal(read.frame, frame, check_exact=True, check_index_type=False)
    assert rows_sha256(read.frame) == rows_sha256(frame)
    assert read.source == "cache"
    for name in ("calendar", "adjusted", "exchange", "asked_from", "fetched_at", "fresh_until", "notices"):
        assert getattr(read, name) == getattr(stored, name)


def test_cache_file_can_be_read_by_anyone():
    path = cache.write_cache("MSFT", price_set(prices_frame(3)))
    first, titles, *rows = gzip.decompress(path.read_bytes()).decode().splitlines()
    header = json.loads(first.removeprefix("# "))
    assert header["ticker"] == "MSFT" and header["start"] == "2020-01-01" and header["rows"] == len(rows) == 3
    assert titles == "Date,Open,High,Low,Close,Volume" and rows[0].startswith("2020-01-01,")


def test_source_cache_uses_an_old_cache_and_never_falls_back():
    with pytest.raises(SourceError, match="cache has no prices of MSFT"):
        load_prices("MSFT", source="cache")
    cache.write_cache("MSFT", price_set(prices_frame(300)))
    frame = load_prices("MSFT", years=1, source="cache")
    assert frame.attrs["provenance"]["source"] == "cache" and not notices(frame)
    assert frame.attrs["provenance"]["fetched_at"] == "2021-03-01T00:00:00+00:00"


def damage(path, how):
    content = path.read_bytes()
    text = gzip.decompress(content)
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_bytes(b"hello")
    elif how == "flipped bit":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 8]) + content[middle + 1 :])
    elif how == "changed price":
        path.write_bytes(gzip.compress(text.replace(b"2020-01-02,1", b"2020-01-02,2")))
    elif how == "lost row":
        path.write_bytes(gzip.compress(text[: text.rindex(b"\n", 0, -1) + 1]))
    elif how == "other ticker":
        path.write_bytes(gzip.compress(text.replace(b'"ticker": "MSFT"', b'"ticker": "AAPL"')))
    else:
        path.write_bytes(gzip.compress(b"# {}\n" + text.partition(b"\n")[2]))
    assert path.read_bytes() != content


@pytest.mark.parametrize(
    "how",
    ["truncated", "empty", "text", "flipped bit", "changed price", "lost row", "other ticker", "no header"],
)
def test_damaged_cache_is_refused_and_set_aside(how):
    path = cache.write_cache("MSFT", price_set(prices_frame(300)))
    damage(path, how)
    damaged = path.read_bytes()
    with pytest.raises(
        DataError,
        match=r"MSFT\.csv\.gz is damaged( \((its rows do not match its hash|it holds AAPL)\))?; it was renamed to "
        r"MSFT.csv.gz.damaged",
    ):
        load_prices("MSFT", source="cache")
    assert not path.exists() and path.with_name("MSFT.csv.gz.damaged").read_bytes() == damaged


def test_freshness_ends_with_the_next_close(monkeypatch):
    now = pd.Timestamp("2021-03-01 21:29:59", tz="UTC")
    monkeypatch.setattr(cache, "utc_now", lambda: now)
    assert cache.is_fresh(price_set(prices_frame(3)))
    now += pd.Timedelta(seconds=1)
    assert not cache.is_fresh(price_set(prices_frame(3)))
    assert not cache.is_fresh(price_set(prices_frame(3), fresh_until=None))


def test_list_and_clear():
    assert cache.list_cache() == [] and cache.clear_cache() == []
    for ticker in ("MSFT", "AAPL", "IBM"):
        cache.write_cache(ticker, price_set(prices_frame(3)))
    damage(cache.prices_path("IBM"), "text")
    (cache.cache_folder("prices") / "notes.txt").write_text("mine")
    aapl, ibm, msft = cache.list_cache()
    assert aapl["ticker"] == "AAPL" and msft["rows"] == 3 and msft["path"].endswith("MSFT.csv.gz")
    assert "error" in ibm and "ticker" not in ibm
    with pytest.raises(DataError):
        cache.read_cache("IBM")
    assert [path.name for path in cache.clear_cache("IBM")] == ["IBM.csv.gz.damaged"]
    assert [path.name for path in cache.clear_cache()] == ["AAPL.csv.gz", "MSFT.csv.gz"]
    assert [path.name for path in (cache.cache_folder("prices")).iterdir()] == ["notes.txt"]


def write_many(folder, seed, barrier):
    os.environ["TRENDLSTM_CACHE_DIR"] = folder
    stored = price_set(prices_frame(200 + seed, seed=seed))
    barrier.wait()
    for _ in range(25):
        cache.write_cache("MSFT", stored)


def test_readers_see_a_whole_file_while_several_processes_write(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    folder = os.environ["TRENDLSTM_CACHE_DIR"]
    writers = [context.Process(target=write_many, args=(folder, seed, barrier)) for seed in range(2)]
    for writer in writers:
        writer.start()
    barrier.wait(timeout=60)
    lengths = set()
    while any(writer.is_alive() for writer in writers):
        read = cache.read_cache("MSFT")  # raises if it saw a mixture
        lengths |= {len(read.frame)} if read else set()
    for writer in writers:
        writer.join()
    assert all(writer.exitcode == 0 for writer in writers)
    assert lengths <= {200, 201} and cache.read_cache("MSFT") is not None
    assert [path.name for path in cache.prices_path("MSFT").parent.iterdir()] == ["MSFT.csv.gz"]


def write_until_killed(folder):
    os.environ["TRENDLSTM_CACHE_DIR"] = folder
    versions = [price_set(prices_frame(200 + seed, seed=seed)) for seed in range(2)]
    while True:
        for version in versions:
            cache.write_cache("MSFT", version)


def test_a_killed_writer_leaves_the_old_file_or_the_new():
    context = multiprocessing.get_context("spawn")
    path = cache.prices_path("MSFT")
    for _ in range(3):
        writer = context.Process(target=write_until_killed, args=(os.environ["TRENDLSTM_CACHE_DIR"],))
        writer.start()
        path.unlink(missing_ok=True)
        while not path.exists():
            assert writer.is_alive()
        writer.kill()
        writer.join()
        assert len(cache.read_cache("MSFT").frame) in {200, 201}


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    path = cache.write_cache("MSFT", price_set(prices_frame(300)))
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        cache.write_cache("MSFT", price_set(prices_frame(10)))
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
