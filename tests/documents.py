"""What the documents show, to be executed."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def snippets(name):
    """The Python blocks of a page in docs/, by the heading that they stand under (one each)."""
    text = (DOCS / name).read_text(encoding="utf-8")
    sections = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    found = {
        heading: re.findall(r"^```python\n(.*?)^```", body, re.MULTILINE | re.DOTALL)
        for heading, body in zip(sections[::2], sections[1::2], strict=True)
    }
    return {heading: "".join(blocks) for heading, blocks in found.items() if blocks}
