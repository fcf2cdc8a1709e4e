"""`harness count`: the table, the JSON and what it says of bad input."""

import json
from subprocess import CompletedProcess

import pytest

from harness import cli, models
from harness.record.units import FLOPS_PER_MAC
from tests.forked import run


def harness(*arguments: str) -> CompletedProcess[str]:
    return run(["-m", "harness", *arguments], timeout=120)


def test_json_is_one_document_and_nothing_else() -> None:
    done = harness("count", "squeezenet1_1", "googlenet_2014", "--json")
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    assert done.stderr == ""
    assert [r["model"] for r in rows] == ["squeezenet1_1", "googlenet_2014"]
    for r in rows:
        assert r["spent_macs"] == r["forward_macs"] + r["weight_gradient_macs"] + r["input_gradient_macs"]
        assert r["spent_flops"] == FLOPS_PER_MAC * r["spent_macs"]
        assert r["spent_per_forward"] == pytest.approx(r["spent_macs"] / r["forward_macs"], abs=1e-6)
        assert r["forward_macs"] == sum(r["by_operator"].values())
    assert rows[0]["auxiliary_params"] == 0
    assert rows[1]["auxiliary_params"] > 6_000_000
    assert rows[1]["forward_macs"] > rows[1]["evaluation_macs"]


def test_table_is_plain_and_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "alexnet", "googlenet", "mobilenet_v1", "vit_b_16"]) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert max(len(text) for text in lines) <= 100
    assert captured.out.isascii()
    header = next(text for text in lines if "model" in text)
    starts = [header.index(word) for word in ("model", "published")]
    googlenet = next(text for text in lines if text.startswith("googlenet"))
    assert [googlenet[start:].split()[0] for start in starts] == ["googlenet", "2014-09-17"]
    assert googlenet.split()[-5:] == ["op", "bn", "k", "ema", "do"]
    assert "bn batch normalisation in an architecture older than it" in " ".join(captured.out.split())
    assert next(text for text in lines if text.startswith("mobilenet_v1")).split()[2:4] == ["4.23", "0.5687"]


def test_the_table_says_what_its_units_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "squeezenet1_1"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "some count 2 FLOP for each" in told
    assert "GFLOP" not in told


def test_a_card_with_another_networks_numbers_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.ZOO, "resnet18", models.ZOO["shufflenet_v2_x1_0"])
    assert cli.main(["count", "resnet18"]) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "conf/model/resnet18.yaml says 11,689,512 params and" in told
    assert cli.main(["count", "alexnet"]) == 0
    assert capsys.readouterr().err == ""


def test_resolution(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", "resnet18", "--resolution", "64", "--json"]) == 0
    (at_64,) = json.loads(capsys.readouterr().out)
    assert at_64["resolution"] == 64
    assert cli.main(["count", "resnet18", "--resolution", "128", "--json"]) == 0
    (at_128,) = json.loads(capsys.readouterr().out)
    linear = 512 * 1000  # the classifier alone does not grow with the map
    assert at_128["forward_macs"] - linear == 4 * (at_64["forward_macs"] - linear)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["alexne"], ["alexne", "alexnet"]),
        (["resnet19"], ["resnet18"]),
        (["nothing like it"], ["swin_t", "vgg11"]),
        (["alexnet", "--resolution", "20"], ["alexnet", "20 pixels", "63"]),
        (["vit_b_16", "--resolution", "100"], ["vit_b_16", "patch"]),
        (["alexnet", "--resolution", "0"], ["positive"]),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["count", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert all(word in captured.err for word in words)
