"""Tasks by name, and what all of them have in common."""

import subprocess
import sys

import numpy as np
import pytest
from drawn_sequences import drawn

from trendlstm.errors import OptionError
from trendlstm.experiments import LENGTHS, TASKS, VARIANTS
from trendlstm.experiments.task import Exam
from trendlstm.experiments.tasks import make_task, quick_task

pytest.importorskip("sklearn")


def test_every_task_is_made_in_every_size():
    names = {make_task(name).name for name in TASKS}
    assert names == {
        "adding-100",
        "multiplication-100",
        "temporal-order-6a",
        "long-lag-100",
        "reber",
        "continual-reber",
        "copy-500",
        "digits-in-order",
    }
    for name in TASKS:
        for length in LENGTHS.get(name, [None]):
            for variant in VARIANTS.get(name, [None]):
                task = make_task(name, length, variant)
                names.add(task.name)
                assert name in task.name and task.title and task.question.endswith(".")
                for value in filter(None, (length, variant)):
                    assert str(value) in task.name or value == "1997"
                batch = task.training.batch_size
                if isinstance(task.criterion, Exam):
                    # an exam ends a minibatch that is not whole
                    assert task.criterion.every % batch == 0
                    assert task.training.max_sequences % task.criterion.every == 0
                assert (task.training.truncate is None) or task.is_every_step
    assert len(names) == 5 + 5 + 1 + 2 + 5 + 1 + 1 + 2 + 2  # of each task


def test_names_and_sizes_that_there_are_not():
    for arguments, words in [
        (("subtracting",), "task must be one of adding, multiplication, .*, but is 'subtracting'"),
        (("adding", 101), "length must be one of 100, 500, 1000, 5000, 10000, but is 101"),
        (("long-lag", 51), "length must be one of 50, 100, 200, 500, 1000, but is 51"),
        (("temporal-order", None, "6c"), "variant must be one of 6a, 6b, but is '6c'"),
        (("temporal-order", 100), "length is not for temporal-order: leave it out"),
        (("long-lag", 100, "6a"), "variant is not for long-lag: leave it out"),
    ]:
        with pytest.raises(OptionError, match=words):
            make_task(*arguments)


def test_quick_tasks_are_smaller():
    for name in TASKS:
        whole, quick = make_task(name), quick_task(name)
        assert name in quick.name and quick.training.trials == 2
        assert quick.training.max_sequences < whole.training.max_sequences
        same = {"trials": 2, "max_sequences": quick.training.max_sequences}
        assert quick.training == whole.training._replace(**same)
        if isinstance(quick.criterion, Exam):
            assert quick.training.max_sequences % quick.criterion.every == 0
    with pytest.raises(OptionError, match="'subtracting'"):
        quick_task("subtracting")


@pytest.mark.parametrize("name", TASKS)
def test_sequences_follow_from_the_generator(name):
    task = make_task(name)
    first, again, other = drawn(task, 40, seed=1), drawn(task, 40, seed=1), drawn(task, 40, seed=2)
    for one, same in zip(first, again):
        assert np.array_equal(one, same)
    assert first.x.shape != other.x.shape or not np.array_equal(first.x, other.x)


def test_names_and_sizes_are_light():
    code = (
        "import sys, trendlstm.experiments as e; print(len(e.TASKS), {'numpy', 'numba'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found == "8 set()\n"
