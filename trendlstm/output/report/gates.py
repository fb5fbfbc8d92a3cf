"""Inside the network: gates and states over the steps of the last test window, each with its equation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from trendlstm.data.windows import Scaler
from trendlstm.nn.gates import GateActivations, gate_activations
from trendlstm.nn.network import Network
from trendlstm.output.report.charts import Chart, Line, Rows
from trendlstm.output.report.html import Html, joined

MOST_UNITS = 64  # more of them cannot be told apart, and would be most of the page
_SIGNED = ("g", "c", "n", "h")


@dataclass(frozen=True)
class Quantity:
    """A gate or a state: its name, its equation, and what it is for."""

    key: str
    name: str
    equation: Html
    purpose: str


def _math(row: str) -> Html:
    return Html(f'<math display="block"><mrow>{row}</mrow></math>')


def _sub(name: str, index: str = "<mi>t</mi>") -> str:
    return f"<msub><mi>{name}</mi>{index if index.startswith('<') else f'<mi>{index}</mi>'}</msub>"


_BEFORE = "<mrow><mi>t</mi><mo>−</mo><mn>1</mn></mrow>"
_EQUALS, _TIMES, _PLUS = "<mo>=</mo>", "<mo>⊙</mo>", "<mo>+</mo>"


def _layer(result: str, function: str, gate: str, bias: bool) -> str:
    """result_t = function(W_gate [h_{t-1}, x_t] + b_gate)."""
    inputs = f"<mo>[</mo>{_sub('h', _BEFORE)}<mo>,</mo>{_sub('x')}<mo>]</mo>"
    weights = _sub("W", gate) if gate else "<mi>W</mi>"
    shift = (_PLUS + (_sub("b", gate) if gate else "<mi>b</mi>")) if bias else ""
    name = f"<mi>{function}</mi>"
    return f"{_sub(result)}{_EQUALS}{name}<mo>(</mo>{weights}{inputs}{shift}<mo>)</mo>"


def quantities(cell: str, bias: bool, squash_output: bool) -> list[Quantity]:
    """What a recurrent cell computes at every step, in the order in which it does."""
    if cell.startswith("rnn"):
        function = "σ" if cell == "rnn-sigmoid" else "tanh"
        purpose = (
            "The only state: what the cell passes on to the next step, and at the last step to the dense layers. Every "
            "step overwrites all of it, which is why this cell forgets."
        )
        return [Quantity("h", "Hidden state", _math(_layer("h", function, "", bias)), purpose)]
    if cell == "gru":
        return _gru_quantities(bias)
    has_forget_gate = cell == "lstm"
    forget = f"{_sub('f')}{_TIMES}" if has_forget_gate else ""
    shown = f"<mi>tanh</mi><mo>(</mo>{_sub('c')}<mo>)</mo>" if squash_output else _sub("c")
    found = [
        Quantity(
            "f",
            "Forget gate",
            _math(_layer("f", "σ", "f", bias)),
            "How much of its state each cell keeps: 0 forgets it all, 1 keeps it all.",
        ),
        Quantity(
            "i",
            "Input gate",
            _math(_layer("i", "σ", "i", bias)),
            "How much of the candidate is let in: 0 nothing, 1 all of it.",
        ),
        Quantity(
            "g",
            "Candidate",
            _math(_layer("g", "tanh", "g", bias)),
            "What would be added to the cell state, between -1 and 1.",
        ),
        Quantity(
            "c",
            "Cell state",
            _math(f"{_sub('c')}{_EQUALS}{forget}{_sub('c', _BEFORE)}{_PLUS}{_sub('i')}{_TIMES}{_sub('g')}"),
            "The memory: it is changed by adding, so that it can last for many steps."
            + (
                ""
                if has_forget_gate
                else " This LSTM of 1997 has no forget gate: f = 1, nothing is ever forgotten."
            ),
        ),
        Quantity(
            "o",
            "Output gate",
            _math(_layer("o", "σ", "o", bias)),
            "How much of the cell state is shown to the rest of the network.",
        ),
        Quantity(
            "h",
            "Hidden state",
            _math(f"{_sub('h')}{_EQUALS}{_sub('o')}{_TIMES}{shown}"),
            "What the next step sees, and after the last step the dense layers.",
        ),
    ]
    return [one for one in found if has_forget_gate or one.key != "f"]


def _gru_quantities(bias: bool) -> list[Quantity]:
    def product(weight: str, of: str) -> str:
        """W_weight of + b_weight."""
        return f"{_sub('W', weight)}{of}{_PLUS + _sub('b', weight) if bias else ''}"

    candidate = (
        f"{_sub('n')}{_EQUALS}<mi>tanh</mi><mo>(</mo>{product('xn', _sub('x'))}{_PLUS}{_sub('r')}{_TIMES}{_sub('q')}"
        "<mo>)</mo>"
    )
    from_state = f"{_sub('q')}{_EQUALS}{product('hn', _sub('h', _BEFORE))}"
    lines = "".join(f"<mtr><mtd>{line}</mtd></mtr>" for line in (candidate, from_state))
    mixed = (
        f"<mo>(</mo><mn>1</mn><mo>−</mo>{_sub('z')}<mo>)</mo>{_TIMES}{_sub('n')}{_PLUS}"
        f"{_sub('z')}{_TIMES}{_sub('h', _BEFORE)}"
    )
    return [
        Quantity(
            "r",
            "Reset gate",
            _math(_layer("r", "σ", "r", bias)),
            "How much of the state the candidate sees: 0 makes it of the input alone.",
        ),
        Quantity(
            "z",
            "Update gate",
            _math(_layer("z", "σ", "z", bias)),
            "How much of its state each unit keeps: 0 takes all of the candidate, 1 keeps all of the state.",
        ),
        Quantity(
            "n",
            "Candidate",
            _math(f"<mtable>{lines}</mtable>"),
            "What the state would become, between -1 and 1.",
        ),
        Quantity(
            "h",
            "Hidden state",
            _math(f"{_sub('h')}{_EQUALS}{mixed}"),
            "The only state, and the memory too: where z stays near 1 it lasts for many steps. After the last step the "
            "dense layers see it.",
        ),
    ]


@dataclass(frozen=True)
class Inside:
    """The section's HTML, its chart, and the values that the script shows."""

    body: Html
    chart: Chart
    values: dict[str, Any]


def inside(window: pd.DataFrame, network: Network, scaler: Scaler, intro: str) -> Inside:
    """Run a window through a network.

    Parameters
    ----------
    window : DataFrame
        Its rows of `inputs.csv`, oldest first: date, the features, Close.
    network : Network
        Of a recurrent cell.
    scaler : Scaler
    intro : str
        Which network and which forecast this is; begins the section.
    """
    lag = len(window)
    raw = window[list(scaler.features)].to_numpy(np.float64)
    x = scaler.inputs(raw[None], window["Close"].to_numpy(np.float64)[-1:])
    found = gate_activations(network, x)
    config = network.config
    shown = quantities(config.cell, config.bias, config.squash_output)
    units = min(config.hidden_sizes[-1], MOST_UNITS)
    chart = _means(shown, found, lag)
    if config.layers > 1:
        intro += f" Of its {config.layers} recurrent layers the top one is shown, whose x is the h of the one below."
    return Inside(
        _body(shown, chart, intro, config.hidden_sizes[-1], units, lag),
        chart,
        {
            "steps": [
                _step(number, date, raw[number], x[0, number], scaler)
                for number, date in enumerate(window["date"])
            ],
            "signed": [one.key for one in shown if one.key in _SIGNED],
            "values": {
                one.key: np.rint(1000 * _of(found, one.key)[:, :units]).astype(int).tolist() for one in shown
            },
        },
    )


def _of(found: GateActivations, key: str) -> np.ndarray:
    """A quantity of the one window, (T, H)."""
    return getattr(found, key)[0].astype(np.float64)


def _value(value: float) -> str:
    """A price, or a volume, which is no 4.99233e+07."""
    return f"{value:,.0f}" if abs(value) >= 1e5 else f"{value:,.6g}"


def _step(number: int, date: pd.Timestamp, raw: np.ndarray, scaled: np.ndarray, scaler: Scaler) -> str:
    seen = ", ".join(
        f"{name} {_value(value)} (scaled {one:+.2f})"
        for name, value, one in zip(scaler.features, raw, scaled)
    )
    return f"step {number + 1}, {date:%a %Y-%m-%d}: {seen}"


_LINES: Mapping[str, Line] = {
    "f": Line("forget gate f", "vermillion", "dashed", 2),
    "i": Line("input gate i", "green", "dotted", 2),
    "g": Line("candidate g", "orange", "dashdot", 1.8),
    "c": Line("cell state c", "blue", "solid", 2.6),
    "o": Line("output gate o", "purple", "sparse", 2),
    "r": Line("reset gate r", "green", "dotted", 2),
    "z": Line("update gate z", "vermillion", "dashed", 2),
    "n": Line("candidate n", "orange", "dashdot", 1.8),
    "h": Line("hidden state h", "black", "solid", 1.4),
}


def _means(shown: list[Quantity], found: GateActivations, lag: int) -> Chart:
    return Chart(
        "means",
        "The same as means over all units",
        "The vertical line is the step of the slider.",
        "step",
        "mean over units",
        [_LINES[one.key] for one in shown],
        [Rows(range(1, lag + 1), [_of(found, one.key).mean(axis=1) for one in shown])],
        dates=False,
        digits=3,
        aspect=0.3,
    )


def _body(shown: list[Quantity], chart: Chart, intro: str, hidden: int, units: int, lag: int) -> Html:
    card = Html(
        '<article class="gate" data-gate="{key}" aria-labelledby="gate-{key}">\n'
        '<h3 id="gate-{key}">{name}</h3>\n<div class="equation">{equation}</div>\n<p class="what">{purpose}</p>\n'
        '<div class="map" role="img" aria-label="Heat map of {name}: {units} units by {steps} steps; all values are in '
        'the tables below"></div>\n<p class="scale"><span></span><span></span></p>\n<p class="now"></p>\n</article>'
    )
    some = "" if units == hidden else f", the first {units} of {hidden:,} units"
    note = (
        f"Every row of a heat map is a unit{some}, every column a step, from the oldest session (left) to the newest. "
        "σ is the logistic function; ⊙ multiplies unit by unit; W and b are weights and biases that training has found."
    )
    cards = joined(
        *(
            card.format(
                key=one.key,
                name=f"{one.name} {one.key}",
                equation=one.equation,
                purpose=one.purpose,
                units=units,
                steps=lag,
            )
            for one in shown
        )
    )
    return Html(
        '<p>{intro}</p>\n<p class="quiet">{note}</p>\n'
        '<div class="player"><label for="step">Step</label>'
        '<input type="range" id="step" min="1" max="{steps}" value="{steps}" step="1">'
        '<button type="button" id="play">Play</button></div>\n'
        '<p><output id="step-text" for="step" aria-live="polite"></output></p>\n'
        '<div class="gates">\n{cards}\n</div>\n'
        '<details id="units"><summary>All units at this step as a table</summary></details>\n{figure}'
    ).format(
        intro=intro,
        note=note,
        steps=lag,
        cards=cards,
        figure=chart.figure(),
    )
