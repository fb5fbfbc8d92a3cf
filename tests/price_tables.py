"""Made-up price tables, and files of them."""

import numpy as np
import pandas as pd

from trendlstm.data.sources import load_prices


def prices_frame(count=300, start="2020-01-01", seed=0):
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.02, count)))
    open_ = close * np.exp(random.normal(0, 0.01, count))
    dates = pd.DatetimeIndex(pd.bdate_range(start, periods=count).to_numpy("datetime64[ns]"), name="Date")
    return pd.DataFrame({"Open": open_, "High": np.maximum(open_, close) * 1.01,
                         "Low": np.minimum(open_, close) * 0.99, "Close": close,
                         "Volume": random.integers(0, 10**9, count).astype(float)}, index=dates)  # fmt: skip


def csv_file(folder, text, name="prices.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def load_csv(path, **options):
    return load_prices("TEST", csv=path, **options)


def notices(frame):
    return frame.attrs["provenance"]["notices"]


def days_csv(folder, dates):
    return csv_file(
        folder, "Date,Close\n" + "".join(f"{day:%Y-%m-%d},{10 + i}\n" for i, day in enumerate(dates))
    )
