"""Execute docs/tutorial.ipynb and keep its outputs: `python scripts/run_tutorial.py`, after every change of its cells.

Only what is the same in every run is kept: no times, no paths, no progress bars.
"""

import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.ipynb"


def execute(notebook: NotebookNode, folder: Path, seconds: int = 300) -> None:
    """Run all cells in a new kernel, which works in `folder` and imports this package; each within `seconds`.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        A cell failed.
    """
    client = NotebookClient(
        notebook, timeout=seconds, kernel_name="python3", record_timing=False, coalesce_streams=True
    )
    client.execute(cwd=str(folder), env={**os.environ, "PYTHONPATH": str(ROOT)})


def tidy(notebook: NotebookNode) -> None:
    """Take out what differs from run to run or from machine to machine."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = NotebookNode(kernelspec=kernel, language_info={"name": "python"})
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id, cell.metadata = f"cell-{number}", NotebookNode()
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if not is_bar(output)]


def is_bar(output: NotebookNode) -> bool:
    """Whether an output is a progress bar, which shows the time taken: all else that cells display is a picture."""
    return output.output_type == "display_data" and "image/png" not in output.data


def main() -> None:
    """Execute the tutorial in place."""
    notebook = nbformat.read(TUTORIAL, as_version=4)
    execute(notebook, TUTORIAL.parent)
    tidy(notebook)
    nbformat.validate(notebook)
    nbformat.write(notebook, TUTORIAL)


if __name__ == "__main__":
    main()
