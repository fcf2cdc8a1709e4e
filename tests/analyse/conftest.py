from typing import Any

import pytest

from harness.analyse.page import page
from harness.analyse.show.figures.canvas import Picture, new


@pytest.fixture
def empty_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of a page's words: it takes seconds to draw twelve figures that they do not look at."""

    def pictures(*_: Any) -> dict[str, Picture]:
        return {"trend": Picture(new(1, 1))}

    monkeypatch.setattr(page, "pictures", pictures)
