"""The comparison of counters: what it says of two networks, and that the committed one is current."""

import json

from harness.paths import ROOT
from results.compare_counters import OUT, compare, markdown


def test_two_networks() -> None:
    """MobileNet v1: FlopCounterMode ignores its groups backward; fvcore adds norms; 3x bills the stem's input."""
    mobilenet, alexnet = (compare(name, resolution=224) for name in ("mobilenet_v1", "alexnet"))
    assert alexnet["flop_counter_mode_over_spent"] == 1.0
    assert alexnet["flop_counter_mode_macs"] == alexnet["spent_macs"]
    assert mobilenet["flop_counter_mode_over_spent"] > 3
    assert 1.02 < mobilenet["fvcore_over_forward"] < 1.1
    stem_input = 64 * 3 * 121 * 55 * 55  # what 3x bills too much for AlexNet
    assert alexnet["three_times_forward_macs"] - alexnet["spent_macs"] == stem_input


def test_the_committed_comparison_is_current() -> None:
    """Its exact columns are the golden ones, and its page is what the numbers give."""
    document = json.loads((OUT / "counting.json").read_text())
    golden = {r["model"]: r for r in json.loads((ROOT / "tests" / "golden" / "complexity.json").read_text())}
    assert [r["model"] for r in document["models"]] == list(golden)
    for r in document["models"]:
        exact = golden[r["model"]]
        assert (r["forward_macs"], r["spent_macs"]) == (exact["forward_macs"], exact["spent_macs"])
    assert markdown(document) == (OUT / "TABLE.md").read_text()
