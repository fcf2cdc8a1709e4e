import json
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.analyse.evidence import published
from harness.analyse.show.replay import replay
from harness.analyse.show.words import rounded


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return replay()


def item(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(i for i in document["fragility"] if i["name"] == name)


def test_all_sixteen_rows_agree_with_the_printed_table(document: dict[str, Any]) -> None:
    assert len(document["rows"]) == 16
    for row in document["rows"]:
        assert row["pflop"] == pytest.approx(row["printed_compute"], rel=0.005), row["model"]
        assert row["tfs_days"] == pytest.approx(row["pflop"] / 86.4)


def test_the_headline(document: dict[str, Any]) -> None:
    assert 15.6 <= document["halving_months"] <= 15.8
    assert 44 <= document["reduction_factor"] <= 45
    assert 44 <= document["reduction_factor_frontier"] <= 45
    assert 11.0 <= document["moore_factor"] <= 11.4


def test_the_published_points_have_the_interval_of_least_squares(document: dict[str, Any]) -> None:
    low, high = document["halving_interval_ols"]
    assert low == pytest.approx(13.3, abs=0.3)
    assert high == pytest.approx(19.5, abs=0.3)


def test_the_fragility_is_computed(document: dict[str, Any]) -> None:
    assert item(document, "alexnet_early_stop")["factor"] == pytest.approx(30, abs=1)
    assert item(document, "efficientnet_resolution")["factor"] == pytest.approx([44.4, 59.2], abs=0.1)
    assert item(document, "without_efficientnet")["factor"] == pytest.approx(25, abs=0.5)
    assert item(document, "torchvision_macs")["factor"] == pytest.approx(41.6, abs=0.1)
    assert item(document, "end_points_alone")["halving_months"] == pytest.approx(15.3, abs=0.05)
    assert item(document, "other_method")["halving_interval"] == [4, 25]


def test_the_command_prints_one_json_document(document: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["replay", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == rounded(document)
    assert cli.main(["replay"]) == 0
    assert "44.4x" in capsys.readouterr().out


def test_a_missing_folder_of_constants_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published, "PUBLISHED", tmp_path)
    assert cli.main(["replay"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
