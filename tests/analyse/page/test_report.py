"""The report page: what it says, and what a browser makes of it."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.analyse.page.page import page
from harness.analyse.page.report import SIZE_LIMIT_BYTES
from harness.analyse.page.sources import read_sources
from harness.analyse.show.aggregate import build
from harness.analyse.show.words import interval, number
from harness.record.folder import PROVENANCE, RUN, seal
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs
from tests.browser import CHROMIUM, DRIVER, chromium, complaints, requests_made, screenshot, show

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
        f"{number(trend['reduction_factor'])}x", interval(trend["reduction_interval"]),
        f"{number(trend['halving_months'])} months", interval(trend["halving_interval"]), group["key"],
    ):  # fmt: skip
        assert words in html
    body = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    for row in group["rows"]:
        assert f'<th scope="row">{row["title"]}</th>' in body
    assert "0/3 (3 budget exhausted)" in body


def test_page_names_no_other_host_and_is_the_same_again(runs: Path, report: Path) -> None:
    html = report.read_text()
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # plotly's own code names its project pages
    assert not re.findall(r"(?:src|href)=[\"'](?!#|data:)", outside)
    assert "default-src 'none'" in outside
    document = build(runs, draws=200)
    assert page(document, read_sources(runs)) == html


def test_every_row_has_the_command_that_repeats_it(tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = write_run(tmp_path / "runs", Made("alexnet", curve_reaching(5), seed=seed))
        overrides = ["+experiment=demo", "model=alexnet", "target=/scratch/level.yaml", f"seed={seed}"]
        segment = {"commit": "c0ffee", "dirty": False, "python": "3.11.7", "packages": {"torch": "2.15.0"}}
        (folder / PROVENANCE).write_text(json.dumps({"overrides": overrides, "segments": [segment]}))
        summary = json.loads((folder / RUN).read_text())
        seal(folder, {k: v for k, v in summary.items() if not k.endswith("sha256")})
    html = page(build(tmp_path / "runs", draws=50), read_sources(tmp_path / "runs"))
    assert (
        "harness train -m +experiment=demo model=alexnet target.metric=top1 target.value=0.5 target.split=validation"
        in html
    )
    assert " seed=0,1</pre>" in html
    assert "<dt>commit</dt><dd>c0ffee</dd>" in html
    assert "<dt>torch</dt><dd>2.15.0</dd>" in html


def test_names_from_a_record_cannot_inject_markup(tmp_path: Path) -> None:
    write_runs(tmp_path, [Made("<img src=x onerror=alert(1)></script>", curve_reaching(5), seed=s) for s in (0, 1)])
    html = page(build(tmp_path, draws=50), read_sources(tmp_path))
    assert "<img" not in html.lower()
    data = re.findall(r'<script type="application/json">(.*?)</script>', html, flags=re.DOTALL)
    assert len(data) >= 2
    assert all(json.loads(text)["data"] for text in data)


def test_a_folder_without_runs_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(tmp_path), "--out", str(tmp_path / "r.html")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "r.html").exists()


def hover_text(driver: Any) -> str:
    """What the hover label of the trend figure says, line by line."""
    label = "#trend-figure .hoverlayer .hovertext text"
    lines = driver.execute_script(
        f"return [...document.querySelectorAll('{label} tspan.line, {label}')].map(e => e.textContent)"
    )
    return " ".join(lines)


@pytest.mark.browser
@NEEDS_BROWSER
def test_in_a_browser(report: Path, tmp_path: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    with chromium(tmp_path / "profile") as driver:
        driver.get("about:blank")
        requests_made(driver)  # the browser's own start page
        backgrounds = {}
        for width in (390, 1440):
            for scheme in ("light", "dark"):
                show(driver, report, width=width, scheme=scheme)
                assert driver.execute_script("return document.documentElement.scrollWidth") <= width
                screenshot(driver, tmp_path / f"report-{width}-{scheme}.png")
                assert (tmp_path / f"report-{width}-{scheme}.png").stat().st_size > 50_000
                ink = "return getComputedStyle(document.querySelector('.xtick text')).fill"
                page_colour = "return getComputedStyle(document.body).backgroundColor"
                backgrounds[scheme] = (driver.execute_script(page_colour), driver.execute_script(ink))
        assert backgrounds["light"][0] != backgrounds["dark"][0]
        assert backgrounds["light"][1] != backgrounds["dark"][1]  # the figures follow the scheme

        points = driver.find_elements(By.CSS_SELECTOR, "#trend-figure .scatterlayer .points path")
        ActionChains(driver).scroll_to_element(points[0]).move_to_element(points[0]).perform()
        WebDriverWait(driver, 10).until(hover_text)
        told = hover_text(driver)
        for fact in ("Alexnet", "2012-06-01", "n = 3", "test processor", "PFLOP"):
            assert fact in told

        plot = driver.find_element(By.CSS_SELECTOR, "#trend-figure .plot")
        driver.execute_script("arguments[0].focus()", plot)
        plot.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
        reading = driver.find_element(By.CSS_SELECTOR, "#trend-figure .reading")
        WebDriverWait(driver, 10).until(lambda d: "Net1" in reading.text)

        driver.find_element(By.CSS_SELECTOR, "#trend-figure button").send_keys(Keys.ENTER)
        saved = tmp_path / "profile" / "downloads" / "trend-figure.svg"
        WebDriverWait(driver, 20).until(lambda d: saved.exists())
        assert saved.read_text().startswith("<svg")
        assert "Alexnet" in saved.read_text()

        assert complaints(driver) == []
        asked = [url for url in requests_made(driver) if not url.startswith(("data:", "blob:"))]
        assert set(asked) == {report.as_uri()}
    shutil.rmtree(tmp_path / "profile")


def test_two_plans_of_one_architecture_keep_their_runs_apart(tmp_path):
    """Same recipe, length and seed, two learning rates: each block lists its own run folder."""
    write_runs(tmp_path, [Made("alexnet", curve_reaching(e), learning_rate=e / 100) for e in (5, 9)])
    html = page(build(tmp_path, draws=50), read_sources(tmp_path))
    blocks = html.split("<h3>Alexnet")[1:]
    folders = [re.findall(r"<li><code>(.*?)</code>", block) for block in blocks]
    assert [len(f) for f in folders] == [1, 1]
    assert folders[0] != folders[1]
    assert sorted(re.findall(r"lr 0\.0\d", block)[0] for block in blocks) == ["lr 0.05", "lr 0.09"]
