"""What lies beside the results for people: the walk-through and the citation."""

import re
import tomllib

import pytest
import yaml

from harness.paths import ROOT
from harness.record.errors import HarnessError
from results.walkthrough import printed

WALK = (ROOT / "results" / "README.md").read_text(encoding="utf-8")


def test_the_walk_shows_every_figure_and_every_link_leads_somewhere() -> None:
    shown = re.findall(r"!\[\w+\]\(([^)]+)\)", WALK)
    drawn = sorted((ROOT / "results" / "fashion_mnist").glob("*.svg"))
    assert len(drawn) >= 6
    assert sorted(shown) == [path.relative_to(ROOT / "results").as_posix() for path in drawn]
    for target in re.findall(r"\]\(([^)#\s]+)\)", WALK):
        assert (ROOT / "results" / target).exists(), target


def test_a_box_holds_what_the_terminal_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert printed("harness replay") in WALK
    with pytest.raises(HarnessError, match="exit code 2"):
        printed("harness count no_such_network")


def test_the_citation_has_the_version_and_license_of_the_package() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert cited["version"] == project["version"]
    assert cited["license"] == project["license"]["text"]
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
