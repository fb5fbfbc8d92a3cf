"""docs/from-keras.md: our pieces run one after the other as they stand, and theirs are Python."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "from-keras.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_our_pieces_run_as_one_script(tmp_path):
    (tmp_path / "ours.py").write_text("\n".join(blocks("python")))
    done = subprocess.run(
        [sys.executable, "-W", "error", "ours.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    notice = r"These are the packaged sample prices of MSFT, [\d-]+ to [\d-]+: real, but not current\.\n"
    assert re.fullmatch(notice, done.stderr)
    for shown in (
        r"\(\d+, 60, 1\) \(\d+, 1\)",
        r"recurrent \(LSTM\) +\(None, 50\) +10,400",
        "^30651$",
        r"RMSE 0\.\d{3}, of persistence 0\.\d{3}, skill [+-]0\.\d{3}",
        "evidence|not beaten",
    ):
        assert re.search(shown, done.stdout, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} == {"ours.py", "model.safetensors", "runs"}


def test_each_piece_of_theirs_is_followed_by_one_of_ours():
    order = re.findall(r"^```(py|python)$", PAGE, re.MULTILINE)
    theirs = [index for index, language in enumerate(order) if language == "py"]
    assert len(theirs) >= 10 and all(order[index + 1] == "python" for index in theirs)
    for number, piece in enumerate(blocks("py")):
        compile(piece, f"piece {number}", "exec")


def test_what_the_page_links_to_is_there():
    links = set(re.findall(r"\]\(([\w.-]+\.md)\)", PAGE))
    assert links and all((ROOT / "docs" / link).is_file() for link in links)
