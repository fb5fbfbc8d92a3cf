"""What a page and a card say that a model cannot do is true of its scaling and of its errors."""

import pytest
from walks import trained

from trendlstm.output.limits import limits
from trendlstm.output.runs import write_run


@pytest.mark.parametrize(
    ("scaling", "guess"),
    [
        ("window", "the next change is near 0."),
        ("minmax", "the next close is near the last one."),
        ("none", "the next close is near the last one."),
    ],
)
def test_what_is_learned_of_a_random_walk_is_said_in_the_units_of_the_targets(tmp_path, scaling, guess):
    document = write_run(tmp_path, trained(scaling=scaling))
    step = document["metrics"]["test"]["model"][0]
    for skill in (0.02, None):
        step["skill"] = skill
        said = limits(document)[0]
        assert f" windows mostly learns is that the best guess of {guess}" in said
    step["skill"] = -0.5
    assert f"Not even that the best guess of {guess[:-1]} was learned here" in limits(document)[0]
    document["metrics"] = {}
    assert "mostly learns" in limits(document)[0]
