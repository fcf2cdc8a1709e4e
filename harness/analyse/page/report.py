"""One self-contained HTML page of a folder of records.

Everything on it comes from `aggregate.build`, the document that also makes the table and the figures: this page draws
and words, it computes nothing.
"""

from pathlib import Path
from typing import Any

from harness.analyse.page.page import page
from harness.analyse.page.sources import read_sources
from harness.record.files import write_atomic

SIZE_LIMIT_BYTES = 1_000_000
"""What the page of a ladder of some sixty runs stays below: it can be attached to a mail or a submission."""


def write(document: dict[str, Any], runs: Path, out: Path) -> int:
    """Write the page of a document of the records below `runs`; return its size in bytes. Raises RecordError."""
    left_out = {each["record"] for each in document.get("left_out", ())}
    html = page(document, read_sources(runs, left_out))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, html)
    return len(html.encode())
