"""Files that are missing or damaged end in one sentence that names them."""

import pytest

from trendlstm.errors import RunError
from trendlstm.output.report.folder import read_document, read_table


@pytest.mark.parametrize("text", ["{", "[1]", "", '{"a": 1', b"\xff\xfe"])
def test_a_damaged_document(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(RunError, match=r"run\.json is damaged \(.*\): run it again\.$"):
        read_document(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "date,name,value\n",
        "date,value\n2020-01-01,1\n",
        "date,name,value\n2020-01-01,a,one\n",
        "date,name,value\n2020-01-01,a,\n",
        "date,name,value\n,a,1\n",
        "date,name,value\n2020-01-01,a,inf\n",
        "date,name,value\nyesterday,a,1\n",
        'date,name,value\n"2020-01-01,a,1\n',
    ],
)
def test_a_damaged_table(tmp_path, text):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(RunError, match=r"table\.csv is damaged \([^\n]*\): run it again\.$"):
        read_table(path, ["value"], ["date"], ["name"])


def test_what_is_not_there(tmp_path):
    for read in (read_document, lambda path: read_table(path, ["value"])):
        with pytest.raises(RunError, match=r"nothing\.csv cannot be read \(No such file or directory\)"):
            read(tmp_path / "nothing.csv")


def test_text_stays_text_and_what_is_not_finite_is_missing(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("date,name,value,other\n2020-01-02,NA,0.1,x\n2020-01-03,007,,y\n2020-01-06,,-inf,z\n")
    table = read_table(path, [], ["date"], ["name"], gaps=["value"])
    assert list(table["name"]) == ["NA", "007", ""] and table["value"].iloc[0] == 0.1
    assert table["value"].isna().tolist() == [False, True, True]
    assert table["date"].dt.day.tolist() == [2, 3, 6]
