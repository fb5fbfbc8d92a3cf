"""From a run's folder to its page."""

from pathlib import Path

from trendlstm.errors import RunError
from trendlstm.files import replace_file
from trendlstm.output.report.backtest import backtest_page
from trendlstm.output.report.compare import compare_page
from trendlstm.output.report.folder import read_document
from trendlstm.output.report.page import Page, render
from trendlstm.output.report.train import train_page

REPORT = "report.html"


def write_report(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write the page of a run, made of the files in its folder alone.

    Parameters
    ----------
    folder : str or Path
        What `trendlstm train`, `compare` or `backtest` wrote.
    path : str or Path, optional
        The page, which is replaced as a whole or not at all. Default: `report.html` in the folder.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunError
        The folder is none of these, or one of its files is missing or damaged; the message names it.
    OSError
        The page cannot be written.
    """
    folder = Path(folder)
    path = folder / REPORT if path is None else Path(path)
    content = render(_page(folder)).encode()
    replace_file(path, lambda file: file.write(content))
    return path


def _page(folder: Path) -> Page:
    kinds = {"compare.json": "comparison", "metrics.json": "backtest", "run.json": "run"}
    name = next((name for name in kinds if (folder / name).is_file()), None)
    if name is None:
        if (folder / "folds.sqlite").is_file():
            problem = f"holds an unfinished backtest: go on with `trendlstm backtest --resume {folder}`."
        elif (folder / "reproduce.json").is_file():
            problem = "holds an experiment, of which there is no page: look at its errors.png and trials.csv."
        else:
            problem = "is not a run's folder: give one that `trendlstm train`, `compare` or `backtest` wrote."
        raise RunError(f"{folder} {problem}")
    document = read_document(folder / name)
    try:
        if name == "compare.json":
            return compare_page(folder, document)
        if name == "metrics.json":
            return backtest_page(folder, read_document(folder / "run.json"), document)
        if "folds" in document and "metrics" not in document:
            raise RunError(
                f"{folder} holds a backtest whose metrics.json is missing: `trendlstm backtest --resume {folder}` "
                "writes it again."
            )
        return train_page(folder, document)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        # the tables were checked when they were read
        raise RunError(
            f"{folder / name} is damaged or does not fit the tables beside it ({type(error).__name__}: {error}): run "
            "it again."
        ) from error
