"""The report page: what it says, and what a browser makes of it."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

from harness import cli
from harness.analyse.evidence.titles import short_title
from harness.analyse.page.page import page
from harness.analyse.page.report import SIZE_LIMIT_BYTES
from harness.analyse.page.sources import read_sources
from harness.analyse.show.aggregate import build
from harness.analyse.show.tables import csv_table
from harness.analyse.show.words import number, span
from harness.paths import ROOT
from harness.record.folders.folder import PROVENANCE, RUN, seal
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs
from tests.browser import AXE, CHROMIUM, DRIVER, axe, chromium, complaints, requests_made, screenshot, show

NEEDS_BROWSER = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromedriver are not installed")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ladder of five on the frontier, one above it and one that missed; three seeds each."""
    root = tmp_path_factory.mktemp("report") / "runs"
    write_runs(root, ladder())
    for seed in range(3):
        write_run(root, Made("heavynet", curve_reaching(9), day(20), seed, forward_macs=90_000_000))
        missed = Made("missednet", [0.01 * i for i in range(1, 31)], day(40), seed, outcome="budget_exhausted")
        write_run(root, missed)
    return root


@pytest.fixture(scope="module")
def report(runs: Path) -> Path:
    out = runs.parent / "report.html"
    assert cli.main(["report", str(runs), "--out", str(out), "--draws", "200"]) == 0
    return out


def test_page_holds_the_document_and_stays_small(runs: Path, report: Path) -> None:
    html = report.read_text()
    assert len(html.encode()) <= SIZE_LIMIT_BYTES
    group = build(runs, draws=200)["groups"][0]
    trend = group["trend"]
    for words in (
        f"{number(trend['reduction_factor'])}x",
        span(trend["reduction_interval"]),
        f"{number(trend['halving_months'])} months",
        span(trend["halving_interval"]),
        group["key"],
    ):
        assert words in html
    for row in group["rows"]:
        assert f'<th scope="row">{row["title"]}</th>' in html
    assert "<td>0/3</td>" in html
    assert "3 budget exhausted" in html


@pytest.mark.usefixtures("empty_figures")
def test_a_search_stands_on_the_page_as_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a trend beside it, and alone."""
    write_search(tmp_path / "alone")
    write_search(write_runs(tmp_path / "both", ladder(steps=3)))
    for name, trend in (("alone", False), ("both", True)):
        document = build(tmp_path / name, draws=100)
        html = page(document, read_sources(tmp_path / name))
        (found,) = document["groups"][0]["searches"]
        assert cli.main(["aggregate", str(tmp_path / name), "--draws", "100", "--no-figures"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        for cell in (
            number(found["e90_epochs"]),
            number(found["e90_paper_pflop"]),
            number(found["search_paper_pflop"]),
        ):
            assert f"<td>{cell}</td>" in html
            assert cell in shown
        assert f"{short_title(found['title'])}: 0 of 3 at 4 epochs" in html
        assert "of 3 at 4 epochs" in shown
        assert ('href="#search"' in html) == trend
    assert page(build(write_runs(tmp_path / "none", ladder(steps=2))), []).count("The shortest plan") == 0


def write_search(root: Path) -> Path:
    """Three seeds of three lengths: none, two and all of them end at the level."""
    plans = [
        Made("net1", [0.3] * (n - 1) + [0.5 if seed < good else 0.4], day(16), seed + 10 * n, target=None,
             outcome="budget_exhausted", kind="search", planned_epochs=n)
        for n, good in ((4, 0), (6, 2), (12, 3)) for seed in range(3)
    ]  # fmt: skip
    return write_runs(root, plans)


def test_page_names_no_other_host_and_is_the_same_again(runs: Path, report: Path) -> None:
    html = report.read_text()
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", html)
    assert "default-src &#39;none&#39;" in html
    assert "<script" not in html
    document = build(runs, draws=200)
    assert page(document, read_sources(runs)) == html


@pytest.mark.usefixtures("empty_figures")
def test_every_row_has_the_command_that_repeats_it(tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = write_run(tmp_path / "runs", Made("alexnet", curve_reaching(5), seed=seed))
        overrides = ["+experiment=demo", "model=alexnet", "target=/scratch/level.yaml", f"seed={seed}"]
        segment = {"commit": 4 * "c0ffee1234", "dirty": False, "python": "3.11.7", "packages": {"torch": "2.15.0"}}
        (folder / PROVENANCE).write_text(json.dumps({"overrides": overrides, "segments": [segment]}))
        summary = json.loads((folder / RUN).read_text())
        seal(folder, {k: v for k, v in summary.items() if not k.endswith("sha256")})
    html = page(build(tmp_path / "runs", draws=50), read_sources(tmp_path / "runs"))
    assert (
        "harness train -m +experiment=demo model=alexnet target.metric=top1 target.value=0.5 target.split=validation"
        in html
    )
    assert " seed=0,1</pre>" in html
    assert '<p class="soft">commit c0ffee1234c0</p>' in html  # forty digits would take two lines of a telephone
    assert f"<dd>{4 * 'c0ffee1234'}</dd>" in html
    assert html.count("<li>factor = cost(AlexNet) / cost(cheapest)</li>") == 1
    assert "looked for 1 time an epoch" in html
    assert "<dt>torch</dt><dd>2.15.0</dd>" in html


def test_names_from_a_record_cannot_inject_markup(tmp_path: Path) -> None:
    """A model's name has no markup, or the record is refused; a title and a recipe are free text."""
    markup = "<img src=x onerror=alert(1)></script>"
    write_runs(tmp_path, [Made("net", curve_reaching(5), seed=s, title=markup, recipe=markup) for s in (0, 1)])
    html = page(build(tmp_path, draws=50), read_sources(tmp_path))
    assert "<img" not in html.lower()
    assert "<script" not in html.lower()
    assert "&lt;img" in html, "it is shown as it stands"


def test_a_folder_without_runs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "r.html").exists()


def test_downloads_hold_the_document_and_the_table(runs: Path, report: Path) -> None:
    found = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', report.read_text()))
    document = build(runs, draws=200)
    assert json.loads(base64.b64decode(found["trend.json"])) == document
    assert base64.b64decode(found["table.csv"]).decode() == csv_table(document).csv()


def test_every_run_has_its_own_line(report: Path) -> None:
    seeds = report.read_text().split("<summary>Every run</summary>")[1].split("</details>")[0]
    assert seeds.count("<tr><th scope") == 21  # seven architectures, three seeds each


def test_a_column_of_dashes_is_not_shown_and_costs_come_before_dates(report: Path) -> None:
    """No synthetic run has flags or joules."""
    tables = re.findall(r"<thead>(.*?)</thead>", report.read_text(), flags=re.DOTALL)
    names = [re.findall(r">([^<>]+)<", head) for head in tables]
    names = [[n.strip() for n in columns if n.strip()] for columns in names]
    assert "joules, evaluation included" not in [n for columns in names for n in columns]
    assert names[0].index("PFLOP") < names[0].index("reached") < names[0].index("date")


def test_the_page_of_the_committed_ladder_can_be_attached() -> None:
    folder = ROOT / "results" / "runs" / "fashion_mnist_protocol1"
    html = page(build(folder, draws=200), read_sources(folder))
    assert len(html.encode()) <= SIZE_LIMIT_BYTES
    blocks = [block for block in html.split("<details><summary><b>") if block.startswith("EfficientNet-B0")]
    commands = [re.findall(r">(harness train .*?)</pre>", block) for block in blocks]
    assert len(commands) == 2
    assert not set(commands[0]) & set(commands[1])
    assert all("recipe.lr=" in command for command in commands[0] + commands[1])


@pytest.mark.browser
@NEEDS_BROWSER
def test_in_a_browser(report: Path, tmp_path: Path) -> None:
    from selenium.webdriver.common.by import By

    with chromium(tmp_path / "profile") as driver:
        driver.get("about:blank")
        requests_made(driver)  # the browser's own start page
        colours = {}
        for width in (390, 1440):
            for scheme in ("light", "dark"):
                show(driver, report, width=width, scheme=scheme)
                assert driver.execute_script("return document.documentElement.scrollWidth") <= width
                screenshot(driver, tmp_path / f"report-{width}-{scheme}.png")
                assert (tmp_path / f"report-{width}-{scheme}.png").stat().st_size > 50_000
                shown = [f for f in driver.find_elements(By.CSS_SELECTOR, "figure > div") if f.is_displayed()]
                assert {f.get_attribute("class") for f in shown} == {"narrow" if width < 640 else "wide"}
                ink = "return getComputedStyle(document.querySelector('figure svg text')).fill"
                paper = "return getComputedStyle(document.body).backgroundColor"
                colours[scheme] = (driver.execute_script(paper), driver.execute_script(ink))
        assert colours["light"][0] != colours["dark"][0]
        assert colours["light"][1] != colours["dark"][1]  # the figures follow the scheme
        heading = driver.find_element(By.CSS_SELECTOR, "thead abbr")
        driver.execute_script("arguments[0].focus()", heading)
        told = driver.execute_script("return getComputedStyle(arguments[0], '::after').content", heading)
        assert heading.get_attribute("title") in told
        titles = driver.execute_script("return [...document.querySelectorAll('.wide title')].map(t => t.textContent)")
        alexnet = next(t for t in titles if t.startswith("Alexnet"))
        assert all(fact in alexnet for fact in ("2012-06-01", "n = 3", "test processor", "PFLOP"))
        assert complaints(driver) == []
        asked = [url for url in requests_made(driver) if not url.startswith("data:")]
        assert set(asked) == {report.as_uri()}
    shutil.rmtree(tmp_path / "profile")


@pytest.mark.browser
@NEEDS_BROWSER
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm install --prefix tests --no-package-lock")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_barrier_that_wcag_aa_names(report: Path, tmp_path: Path, scheme: str) -> None:
    with chromium(tmp_path / "profile") as driver:
        for width in (390, 1440):
            show(driver, report, width=width, scheme=scheme)
            driver.execute_script("for (const d of document.querySelectorAll('details')) d.open = true")
            violations, passes = axe(driver)
            assert violations == []
            assert "color-contrast" in passes
    shutil.rmtree(tmp_path / "profile")


@pytest.mark.usefixtures("empty_figures")
def test_two_plans_of_one_architecture_keep_their_runs_apart(tmp_path: Path) -> None:
    """Same recipe, length and seed, two learning rates: each block lists its own run folder."""
    write_runs(tmp_path, [Made("alexnet", curve_reaching(e), learning_rate=e / 100) for e in (5, 9)])
    html = page(build(tmp_path, draws=50), read_sources(tmp_path))
    out = tmp_path.parent / "cheapest.html"
    assert cli.main(["report", str(tmp_path), "--plans", "cheapest", "--draws", "50", "--out", str(out)]) == 0
    assert "plans looked at 2" in out.read_text()
    blocks = html.split("<details><summary><b>Alexnet")[1:]
    folders = [re.findall(r"<li><code>(.*?)</code>", block) for block in blocks]
    assert [len(f) for f in folders] == [1, 1]
    assert folders[0] != folders[1]
    assert sorted(re.findall(r"lr 0\.0\d", block)[0] for block in blocks) == ["lr 0.05", "lr 0.09"]
    assert sorted(re.findall(r"recipe\.lr=\S+", block)[0] for block in blocks) == ["recipe.lr=0.05", "recipe.lr=0.09"]
