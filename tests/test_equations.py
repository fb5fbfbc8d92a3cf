"""docs/equations.md: every function and option that it names exists, and every kernel's equations are there."""

import importlib
import inspect
import re
from functools import reduce
from pathlib import Path

import numpy as np
import pytest

from trendlstm import Network, cli
from trendlstm.kernels import adam, cells, chunk, dense, equations, sgd

TEXT = (Path(__file__).parents[1] / "docs" / "equations.md").read_text(encoding="utf-8")
CODE = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL))
NAMES = sorted({name for name in CODE if re.fullmatch(r"trendlstm(\.\w+)+", name)})
OPTIONS = sorted({option for span in CODE for option in re.findall(r"--[a-z-]+", span)})


def test_the_document_names_functions_and_options():
    assert len(NAMES) > 15
    assert len(OPTIONS) > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_named_function_exists(name):
    parts = name.split(".")
    for split in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        assert callable(reduce(getattr, parts[split:], module))
        return


@pytest.mark.parametrize("option", OPTIONS)
def test_every_named_option_exists(option):
    known = {
        name
        for command in map(cli.main.commands.get, ("train", "reproduce"))
        for parameter in command.params
        for name in (*parameter.opts, *parameter.secondary_opts)
    }
    assert option in known


@pytest.mark.parametrize("module", [cells, dense, adam, sgd])
def test_every_public_kernel_that_has_an_equation_is_named(module):
    public = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and getattr(inspect.unwrap(value), "__module__", "") == module.__name__
        and hasattr(value, "py_func")
    ]
    assert public
    assert [name for name in public if f"{module.__name__}.{name}" not in NAMES] == []


def test_the_equations_of_every_loss_are_named():
    used = {name: value for name, value in vars(chunk).items() if hasattr(value, "py_func")}
    losses = [name for name, value in used.items() if value is vars(equations).get(name)]
    assert len(losses) == 14  # with `row_state`, where the draws for dropout begin
    assert [name for name in losses if f"{equations.__name__}.{name}" not in NAMES] == []


def test_formulas_are_closed():
    assert TEXT.count("```") % 2 == 0
    prose = re.sub(r"```.*?```", "", TEXT, flags=re.DOTALL)
    for line in prose.splitlines():
        assert line.count("$") % 2 == 0, line
    for formula in (
        *re.findall(r"```math(.*?)```", TEXT, flags=re.DOTALL),
        *re.findall(r"\$([^$\n]+)\$", prose),
    ):
        assert formula.count("{") == formula.count("}"), formula
        sized = [len(re.findall(rf"\\{side}(?![a-z])", formula)) for side in ("left", "right")]
        assert sized[0] == sized[1], formula
        assert re.findall(r"\\begin{(\w+)}", formula) == re.findall(r"\\end{(\w+)}", formula)[::-1], formula


def test_links_lead_to_headings():
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) == headings


def test_the_numbers_in_the_document():
    assert Network(hidden_size=64).state_dict()["recurrent.weight_hh"].shape == (4 * 64, 64)
    recurrent = (value.size for name, value in Network().state_dict().items() if name.startswith("recurrent"))
    assert f"{sum(recurrent):,} = 4 · 64 · (64 + 1 + 1)" in TEXT
    for bias, printed, power in ((0, "0.5", "1.7e-18"), (1, "0.731", "9.4e-9")):
        f = 1 / (1 + np.exp(-bias))
        assert f"{f:.3g}" == printed
        assert f"{f**59:.1e}".replace("e-0", "e-") == power
        assert f"| {bias} | {printed} | {power} |" in TEXT
    assert f"for $u = 30$: {(30 / 31) ** 59:.2f}" in TEXT
