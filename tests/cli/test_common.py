"""What several commands check before they do anything."""

import pytest
from command_line import error_of


@pytest.mark.parametrize("command", ["report run --out ''", "forecast run --out ''", "export run ''"])
def test_an_empty_name_of_a_file_to_write_is_one_sentence(command):
    assert error_of(command, 2) == "the name of the file to write is empty: give one."
