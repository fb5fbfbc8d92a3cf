"""What is made of the times of the grid's cells; no test measures any."""

import json

import bench_grid
import pytest
from bench_grid import AXES, NAMES, Cell, all_cells, means, ratios, read, some_cells

CELL = Cell("float32", "fit", 64, 32, 20)


def row(ours, torch, jax, cell=CELL):
    """A cell's times on one thread and on all, by library."""
    return cell._asdict() | {"ms": dict(zip(NAMES, (ours, torch, jax), strict=True))}


def test_the_subset_has_every_value_of_every_axis():
    cells = some_cells()
    assert set(cells) < set(all_cells())
    for name, values in AXES.items():
        assert {getattr(cell, name) for cell in cells} == set(values)


def test_one_thread_is_compared_with_one_thread_and_all_with_the_faster_of_both():
    slow, fast = ratios([row([4.0, 2.0], torch=[8.0, 9.0], jax=[10.0, 5.0])])
    assert (fast["threads"], fast["peer"], fast["ratio"]) == ("all threads", "JAX", 2.5)
    assert (slow["threads"], slow["peer"], slow["ratio"]) == ("one thread", "PyTorch", 2.0)
    # on all threads a peer that is faster on one of them counts with that
    assert ratios([row([4.0, 2.0], torch=[3.0, 9.0], jax=[10.0, 5.0])])[0]["ratio"] == 0.75
    assert ratios([row([4.0, 2.0], torch=[3.0, 9.0], jax=[10.0, 5.0])])[1]["ratio"] == 1.5


def test_a_machine_with_one_core_has_one_ratio_a_cell():
    (cell,) = ratios([row([4.0], torch=[2.0], jax=[8.0])])
    assert (cell["threads"], cell["ratio"]) == ("one thread", 0.5)


def test_means_are_geometric_and_only_of_values_that_were_measured():
    found = ratios([row([1.0], [2.0], [9.0]), row([1.0], [8.0], [9.0], CELL._replace(T=3))])
    assert means(found, "H") == {64: pytest.approx(4.0)}
    assert means(found, "T") == {3: pytest.approx(8.0), 20: pytest.approx(2.0)}
    assert means(found, "threads") == {"one thread": pytest.approx(4.0)}


def test_what_takes_too_long_is_skipped_and_named(capsys):
    longest = Cell("float32", "fit", 1024, 512, 300)
    skipped = bench_grid.measure(longest, {}, None)
    assert skipped["ms"] is None
    bench_grid.report([row([1.0], [2.0], [3.0]), skipped])
    *_, last = capsys.readouterr().out.splitlines()
    assert last.endswith("fit, H 1024, minibatch 512, T 300, float32")
    assert sum(cell.seconds > bench_grid.LONGEST_SECONDS for cell in all_cells()) < len(all_cells()) / 20


def test_every_slower_cell_is_named(capsys):
    rows = [row([2.0, 2.0], [1.0, 1.0], [3.0, 3.0], CELL._replace(T=t)) for t in AXES["T"] for _ in range(3)]
    bench_grid.report(rows)
    printed = capsys.readouterr().out
    assert "30 cells, 30 of them slower" in printed
    assert printed.count("0.50x PyTorch") == 30


def test_a_line_that_was_cut_off_is_measured_again(tmp_path):
    path = tmp_path / "grid.jsonl"
    complete = row([1.0], [2.0], [3.0])
    path.write_text(f'{json.dumps({"machine": "this"})}\n{json.dumps(complete)}\n{{"dtype": "flo')
    assert read(path) == ({"machine": "this"}, [complete])
