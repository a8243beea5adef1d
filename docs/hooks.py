"""MkDocs hook: pages that are files of the repository's root (CONTRIBUTING.md, …), with links made to fit."""

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the line `{{ NAME.md }}` by that file of the root, whose links are seen from there."""
    included = re.fullmatch(r"\{\{ (\w+\.md) \}\}\s*", markdown)
    if included is None:
        return markdown
    text = (ROOT / included[1]).read_text(encoding="utf-8").replace("](docs/", "](")
    return re.sub(r"\]\(([A-Z]+\.md)", lambda link: "](" + link[1].lower(), text)
