"""What lies beside the results for people: the walk-through and the citation."""

import json
import math
import re
import statistics
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from harness.analyse import read_runs
from harness.analyse.evidence.ladder import ladder
from harness.analyse.trend.headline import draw_all, with_intervals
from harness.analyse.trend.readings import by_study_rule
from harness.measure.config.compose import compose
from harness.paths import ROOT
from harness.record.errors import HarnessError
from harness.record.folders.folder import CONFIG, CURVE, PROVENANCE, RUN
from results import devices, pilot, readme, rejudged
from results.walkthrough import printed

WALK = (ROOT / "results" / "README.md").read_text(encoding="utf-8")


def test_the_walk_shows_every_figure_and_every_link_leads_somewhere() -> None:
    shown = re.findall(r"!\[\w+\]\(([^)]+)\)", WALK)
    shown_first = readme.measured(ROOT)
    assert shown_first is not None
    drawn = sorted((ROOT / "results" / shown_first[0]).glob("*.svg"))
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
    assert f"\n## {project['version']} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert cited["license"] == project["license"]["text"]
    assert {"cff-version", "message", "title", "authors", "date-released"} <= cited.keys()
    (study,) = cited["references"]
    assert [author["family-names"] for author in study["authors"]] == ["Hernandez", "Brown"]
    assert study["identifiers"] == [{"type": "other", "value": "arXiv:2005.04305"}]


def test_the_ladder_judged_again_has_the_numbers_that_were_found_before() -> None:
    """Found on the same records by other code: 37.5x and 16.9 months; at 66.0 % confirmed 19.2x, 17.5 months, line
    [10.7, 47], by the study's rule 35.5x and 14.4. Their intervals came from resampling runs, ours do not.
    """
    trials = read_runs(ROOT / "results" / "runs" / rejudged.LADDER)
    (own,) = rejudged.group_runs(trials)
    again = rejudged.at(trials, rejudged.lowest(own)["best"])
    assert again.target.value == 0.66
    expected = {(0.797, 1): (37.5, 16.9), (0.66, 2): (19.2, 17.5)}
    for group in (own, again):
        entries, _, _ = ladder(group)
        drawn = draw_all(entries, group.target, "paper_pflop", 200, 0)
        found = with_intervals(entries, group.target, "paper_pflop", drawn)
        factor, months = expected[group.target.value, group.target.confirm]
        assert found["reduction_factor"] == pytest.approx(factor, abs=0.05)
        assert found["halving_months"] == pytest.approx(months, abs=0.05)
    assert found["halving_interval_ols"] == pytest.approx([10.7, 47.3], abs=0.05)
    rule = by_study_rule(entries, again.target, "paper_pflop")
    assert (rule["reduction_factor"], rule["halving_months"]) == pytest.approx((35.5, 14.4), abs=0.05)
    page = (ROOT / "results" / rejudged.LADDER / "PROTOCOL2.md").read_text(encoding="utf-8")
    assert "|  19.2x |" in page


def test_the_cards_have_the_rates_of_the_range_test() -> None:
    """What a ladder trains with is what the committed records and the rule say: no rate is typed by taste."""
    longest = {model: says for model, _, _, says in pilot.rates()}  # a network tested twice: the longer test
    assert len(longest) >= 19
    for model, says in longest.items():
        assert compose([f"model={model}", "recipe=anytime"]).recipe.lr == float(says), model


def test_the_ladder_was_frozen_before_its_runs() -> None:
    """Data, plan, networks and seeds stand in one commit, which every record of the ladder comes after."""

    def git(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("no git history here")
    changed = git("log", "--format=%H", "--", "conf/experiment/tiny_imagenet_ladder.yaml").stdout.split()
    assert len(changed) == 1
    records = sorted((ROOT / "results" / "runs").glob(f"tiny_imagenet*/*/*/{PROVENANCE}"))
    commits = {segment["commit"] for path in records for segment in json.loads(path.read_bytes())["segments"]}
    assert commits
    assert [c for c in commits if git("merge-base", "--is-ancestor", *changed, c).returncode] == []


def test_what_was_run_again_on_a_gpu_is_beside_its_twin(tmp_path: Path) -> None:
    runs = ROOT / "results" / "runs"
    pairs = devices.paired(read_runs(runs / devices.LADDER), read_runs(runs / devices.AGAIN))
    assert len(pairs) == len(list((runs / devices.AGAIN).glob("*/*/run.json")))
    for first, second in pairs:
        assert (first.plan, first.seed, first.dataset) == (second.plan, second.seed, second.dataset)
        assert ("H200" in first.hardware, "H200" in second.hardware) == (False, True)
    devices.main(out=tmp_path)
    page = (ROOT / "results" / devices.LADDER / "DEVICES.md").read_text(encoding="utf-8")
    assert (tmp_path / "DEVICES.md").read_text(encoding="utf-8") == page


def test_the_ratio_of_two_devices_is_that_of_their_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pairs of 1.1, 1.1 and 0.9, and one of which a side missed; by hand, in logarithms."""
    monkeypatch.setattr(devices, "epochs", lambda told: told)
    pairs = [(10.0, 11.0), (20.0, 22.0), (10.0, 9.0), (math.inf, 5.0)]
    ratio, (low, high), n = devices.difference(pairs)  # type: ignore[arg-type]
    logs = [math.log(1.1), math.log(1.1), math.log(0.9)]
    mean, sd = statistics.mean(logs), statistics.stdev(logs)
    assert n == 3
    assert ratio == pytest.approx(math.exp(mean))
    assert (low, high) == pytest.approx([math.exp(mean + side * 4.302653 * sd / math.sqrt(3)) for side in (-1, 1)])
    assert math.isnan(devices.difference(pairs[2:])[0])  # type: ignore[arg-type]


def test_beside_the_records_lies_nothing_else() -> None:
    """`harness aggregate` writes beside records unless told where; what is published lies in results/NAME."""
    runs = ROOT / "results" / "runs"
    listed = subprocess.run(["git", "ls-files", "-z", str(runs)], cwd=ROOT, capture_output=True, text=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    if not files:
        pytest.skip("no git history here")
    record = {CONFIG, PROVENANCE, CURVE, RUN}
    assert [path for path in files if path.name not in record or len(path.relative_to(runs).parts) != 4] == []
