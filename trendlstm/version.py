"""The version of the installed package, and how to install one of its extras."""

import json
from importlib.metadata import PackageNotFoundError, distribution, version
from urllib.parse import unquote, urlsplit

try:
    __version__ = version("trendlstm")
except PackageNotFoundError:  # a source tree that was not installed
    __version__ = "unknown"


def install_command(extra: str) -> str:
    """The command that adds an extra of this package, from where it was installed.

    Parameters
    ----------
    extra : str
        A name under `project.optional-dependencies` in pyproject.toml.

    Returns
    -------
    str
        For pip. It names the folder that pip has on record (PEP 610), or else "." for a clone.
    """
    try:
        record = json.loads(distribution("trendlstm").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        record = {}
    details = record.get("dir_info")
    if details is None:
        return f"pip install '.[{extra}]' (in a clone of trendlstm)"
    editable = "--editable " if details.get("editable") else ""
    return f"pip install {editable}'{unquote(urlsplit(record['url']).path)}[{extra}]'"
