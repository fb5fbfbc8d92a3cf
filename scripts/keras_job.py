"""What a user would write in Keras for the main job: `python scripts/keras_job.py FOLDER`, timed by bench.py.

Four years of MSFT from the packaged sample, windows of 20 returns, the reference model, 100 epochs with the best
validation weights kept, predictions, and the same two pictures.
"""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import matplotlib
import numpy as np
import pandas as pd

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LAG = 20


def main(folder: Path) -> None:
    """Train, predict, draw."""
    folder.mkdir()
    sample = Path(__file__).parents[1] / "trendlstm" / "data" / "sample.csv.gz"
    prices = (
        pd.read_csv(sample, parse_dates=["Date"], comment="#").query("Ticker == 'MSFT'").set_index("Date")
    )
    close = np.log(prices["Close"].to_numpy()[-1008:])
    train_rows, validation_rows = 806, 101
    sigma = np.diff(close[:train_rows]).std(ddof=1)
    windows = np.lib.stride_tricks.sliding_window_view(close, LAG)[:-1]
    x = ((windows - windows[:, -1:]) / sigma)[:, :, None]
    y = ((close[LAG:] - close[LAG - 1 : -1]) / sigma)[:, None]
    a, b = train_rows - LAG, train_rows + validation_rows - LAG
    model = keras.Sequential(
        [
            keras.Input((LAG, 1)),
            keras.layers.LSTM(64),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    best = keras.callbacks.ModelCheckpoint(folder / "model.keras", save_best_only=True)
    history = model.fit(
        x[:a], y[:a], batch_size=32, epochs=100, validation_data=(x[a:b], y[a:b]), callbacks=[best], verbose=0
    )
    model = keras.models.load_model(folder / "model.keras")
    predicted = np.exp(close[LAG - 1 : -1] + sigma * model.predict(x, verbose=0)[:, 0])
    for name, lines in {
        "losses": history.history,
        "predictions": {"close": np.exp(close[LAG:]), "model": predicted},
    }.items():
        plt.figure(figsize=(11, 6))
        for label, values in lines.items():
            plt.plot(values, label=label)
        plt.legend()
        plt.savefig(folder / f"{name}.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
