import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.analyse.evidence.runs.groups import Level
from harness.analyse.show import aggregate, pages
from harness.analyse.show.replay import replay
from harness.analyse.show.tables import ledger_table, main_table
from harness.paths import ROOT
from harness.record.errors import BadInput
from tests.analyse.synthetic import Made, curve_reaching, day, ladder, write_run, write_runs

BLOCKED = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "torchvision", "hydra", "omegaconf", "wandb", "fvcore"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
from harness.cli import main
sys.exit(main(sys.argv[1:]))
"""


def group(root: Path, **settings: object) -> dict:
    document = aggregate.build(root, draws=200, **settings)
    assert len(document["groups"]) == 1
    return document["groups"][0]


def row(document: dict, model: str) -> dict:
    return next(r for r in document["rows"] if r["model"] == model)


def test_a_planted_halving_time_is_recovered(tmp_path: Path) -> None:
    trend = group(write_runs(tmp_path, ladder(halving_months=16.0)))["trend"]
    assert trend["halving_months"] == pytest.approx(16.0, abs=0.02)  # dates are whole days
    assert trend["reduction_factor"] == pytest.approx(2**4)
    assert trend["moore_factor"] == pytest.approx(2 ** (64 / 24), rel=1e-3)
    assert trend["frontier"] == ["alexnet", "net1", "net2", "net3", "net4"]


def test_costs_are_the_ledger_at_the_first_evaluation_at_the_target(tmp_path: Path) -> None:
    write_runs(tmp_path, [Made("alexnet", curve_reaching(7, after=3), forward_macs=5_000_000)])
    found = row(group(tmp_path), "alexnet")
    images = 7 * 1000
    assert found["spent_macs"] == images * (3 * 5_000_000 - 1000)
    assert found["paper_pflop"] == pytest.approx(3 * images * 5_000_000 / 1e15)
    assert found["epochs_interval"] == [6, 7]
    assert found["evaluation_macs"] == 7 * 1000 * 5_000_000


def test_an_architecture_stands_at_its_expected_cost_with_share_and_median_beside_it(tmp_path: Path) -> None:
    write_runs(tmp_path, [Made("alexnet", curve_reaching(e), seed=e) for e in (4, 9, 25)])
    found = row(group(tmp_path), "alexnet")
    assert found["epochs"] == pytest.approx((4 + 9 + 25) / 3)
    assert found["median"] == pytest.approx(3 * 9 * 1000 * 1e6 / 1e15)
    assert found["reached_interval"] == pytest.approx([0.025 ** (1 / 3), 1])


def test_a_run_that_never_reaches_stays_as_censored(tmp_path: Path) -> None:
    late = Made("late", [0.3] * 30, published=day(20), outcome="budget_exhausted")
    document = group(write_runs(tmp_path, [*ladder(), late]))
    found = row(document, "late")
    assert found["cost"] is None
    assert found["epochs_interval"] == [30, None]
    assert (found["n"], found["reached"], found["missed"]) == (1, 0, {"budget_exhausted": 1})
    assert "late" not in document["trend"]["frontier"]


def test_the_interval_of_an_architecture_that_always_misses_starts_at_what_it_spent(tmp_path: Path) -> None:
    runs = [Made("late", [0.3] * 9, published=day(20), seed=seed, outcome="budget_exhausted") for seed in range(3)]
    missed = row(group(write_runs(tmp_path, [*ladder(), *runs])), "late")
    assert missed["cost_interval"] == [missed["cost_above"], None]


def test_a_missed_seed_is_paid_by_those_that_reach(tmp_path: Path) -> None:
    runs = [Made("alexnet", curve_reaching(e), seed=e) for e in (4, 6)]
    runs.append(Made("alexnet", [0.1, 0.1], seed=9, outcome="diverged"))
    found = row(group(write_runs(tmp_path, runs)), "alexnet")
    assert (found["epochs"], found["epochs_interval"]) == ((4 + 6 + 2) / 2, [(3 + 5 + 2) / 2, (4 + 6 + 2) / 2])
    assert found["median"] == pytest.approx(3 * 6 * 1000 * 1e6 / 1e15)


def test_full_schedules_adopt_the_target_of_their_group(tmp_path: Path) -> None:
    full = Made("alexnet", curve_reaching(20, after=4), target=None, outcome="budget_exhausted")
    others = [made for made in ladder() if made.model != "alexnet"]
    document = group(write_runs(tmp_path, [full, *others]))
    assert row(document, "alexnet")["epochs"] == 20
    assert any("counted here too" in note for note in document["notes"])


def test_a_full_schedule_and_the_same_seed_until_the_target_count_once(tmp_path: Path) -> None:
    full = Made("alexnet", curve_reaching(20, after=4), target=None, outcome="budget_exhausted")
    stopped = Made("alexnet", curve_reaching(20))
    assert row(group(write_runs(tmp_path, [full, stopped])), "alexnet")["n"] == 1


def test_different_data_are_never_in_one_trend(tmp_path: Path) -> None:
    write_runs(tmp_path, [*ladder(), Made("cheap", [0.9], published=day(70), fingerprint="f" * 64)])
    document = aggregate.build(tmp_path, draws=100)
    assert len(document["groups"]) == 2
    assert "must not be compared" in pages.terminal(document)
    assert all("cheap" not in g["trend"]["frontier"] or g["runs"] == 1 for g in document["groups"])


def test_a_subset_never_enters_the_trend_of_the_whole(tmp_path: Path) -> None:
    write_runs(tmp_path, [*ladder(), Made("cheap", [0.9], published=day(70), subset=True)])
    assert sorted(g["runs"] for g in aggregate.build(tmp_path, draws=100)["groups"]) == [1, 15]


def test_two_targets_are_two_groups_unless_a_level_is_asked_for(tmp_path: Path) -> None:
    other = {"metric": "top1", "value": 0.4, "split": "validation", "evaluations_per_epoch": 1, "source": "x"}
    write_runs(tmp_path, [Made("alexnet", curve_reaching(9)), Made("alexnet", curve_reaching(5, 0.4), target=other)])
    assert len(aggregate.build(tmp_path, draws=100)["groups"]) == 2
    one = aggregate.build(tmp_path, Level("top1", 0.4), draws=100)["groups"]
    assert len(one) == 1
    assert one[0]["runs"] == 2


def test_a_run_stopped_at_a_lower_target_says_so(tmp_path: Path) -> None:
    write_runs(tmp_path, [Made("alexnet", curve_reaching(9))])
    document = aggregate.build(tmp_path, Level("top1", 0.9), draws=100)["groups"][0]
    assert row(document, "alexnet")["missed"] == {"stopped at another target": 1}


def test_two_learning_rates_are_two_plans(tmp_path: Path) -> None:
    write_runs(tmp_path, [Made("alexnet", curve_reaching(e), learning_rate=e / 100) for e in (5, 9)])
    document = group(tmp_path)
    assert [r["n"] for r in document["rows"]] == [1, 1]
    assert sum(r["in_trend"] for r in document["rows"]) == 1
    used, beside = document["rows"]
    assert (used["apart"], beside["apart"]) in [("lr 0.05", "lr 0.09"), ("lr 0.09", "lr 0.05")]
    assert any("2 plans" in note and note.endswith(used["apart"]) for note in document["notes"])
    assert [r.cells[0] for r in ledger_table(document).rows] == [
        "Alexnet",
        f"Alexnet (small, 30 epochs, {beside['apart']})",
    ]
    assert sorted(used["runs"] + beside["runs"]) == sorted(p.name for p in tmp_path.glob("alexnet/*"))
    named = [r.cells[-1] for r in ledger_table(document).rows]
    assert named == [used["middle_run"], beside["middle_run"]] == [*used["runs"], *beside["runs"]]


def test_a_reference_that_never_reaches_makes_every_figure_a_bound(tmp_path: Path) -> None:
    runs = [Made("alexnet", [0.2, 0.45, 0.45], seed=seed, outcome="budget_exhausted") for seed in range(3)]
    runs += [Made("net1", [0.2, 0.45, 0.5], day(20), seed, forward_macs=250_000) for seed in range(3)]
    runs += [Made("net2", [0.45, 0.5], day(40), seed, forward_macs=250_000) for seed in range(3)]
    document = group(write_runs(tmp_path, runs))
    cheapest = row(document, "net2")
    # nine epochs in vain, of four times the MACs, against two
    assert main_table([cheapest]).only("factor").rows[0].cells[0] == "≥ 18.0x"
    said = pages.markdown({"groups": [document], "runs_unfinished": 0, "published": replay()})
    assert "≥ 18.0x" in said
    assert "≤ " in said
    assert "0 of 3 runs" in said
    assert "At 45 %" in said
    assert "the factor is 8.00x" in said  # two epochs against one


def test_a_reference_that_mostly_misses_pays_for_its_misses(tmp_path: Path) -> None:
    runs = [Made("alexnet", [0.2, 0.45, 0.45], seed=seed, outcome="budget_exhausted") for seed in (0, 1)]
    runs += [Made("alexnet", [0.2, 0.45, 0.5], seed=2)]
    runs += [Made("net1", [0.45, 0.5], day(40), seed, forward_macs=250_000) for seed in range(3)]
    document = group(write_runs(tmp_path, runs))
    assert main_table([row(document, "net1")]).only("factor").rows[0].cells[0] == "18.0x"
    said = pages.markdown({"groups": [document], "runs_unfinished": 0, "published": replay()})
    assert "1 of 3 runs: a further run would with a probability of 1 to 91 % (95 %)" in said
    assert "[1, 91]" in pages.terminal({"groups": [document], "runs_unfinished": 0, "published": replay()})


def test_one_architecture_gives_a_reason_and_no_trend(tmp_path: Path) -> None:
    document = group(write_runs(tmp_path, [Made("alexnet", curve_reaching(9))]))
    assert document["trend"]["halving_months"] is None
    assert "two architectures of different dates" in document["trend"]["reason"]


def test_searched_runs_stay_out_of_the_trend(tmp_path: Path) -> None:
    document = group(write_runs(tmp_path, [*ladder(), Made("cheap", [0.9], published=day(70), kind="search")]))
    assert all(r["model"] != "cheap" for r in document["rows"])


def test_n_1_gives_the_resolution_and_says_so(tmp_path: Path) -> None:
    document = group(write_runs(tmp_path, ladder(seeds=1)))
    assert all(r["interval_kind"] == "resolution" for r in document["rows"])
    assert document["trend"]["covers"].startswith("n = 1")
    assert row(document, "net1")["factor_interval"] == pytest.approx([2 * 19 / 20, 2 * 20 / 19])


def test_unfinished_runs_are_counted(tmp_path: Path) -> None:
    write_runs(tmp_path, ladder())
    (write_run(tmp_path, Made("net9", [0.1])) / "run.json").unlink()
    document = aggregate.build(tmp_path, draws=100)
    assert document["runs_unfinished"] == 1
    assert "1 unfinished" in pages.terminal(document)


def test_files_are_the_same_bytes_when_written_again(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs", [*ladder(), Made("late", [0.3] * 9, published=day(20), outcome="diverged")])
    for out in ("one", "two"):
        assert cli.main(["aggregate", str(runs), "--out", str(tmp_path / out), "--draws", "300"]) == 0
    names = {p.name for p in (tmp_path / "one").iterdir()}
    assert {"TABLE.md", "table.csv", "trend.json", "trend.svg", "trend.png"} <= names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_json_is_one_document_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = write_runs(tmp_path, ladder())
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["aggregate", str(runs), "--json", "--draws", "100"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["architectures"] == 5
    assert sorted(tmp_path.rglob("*")) == before


def test_it_runs_without_torch_hydra_and_wandb(tmp_path: Path) -> None:
    write_runs(tmp_path, ladder())
    done = subprocess.run([sys.executable, "-c", BLOCKED, "aggregate", str(tmp_path)], cwd=ROOT, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert (tmp_path / "trend.svg").exists()


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "harness", "aggregate", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")][1:]
    imported = {line.rsplit("|", 1)[1].strip().split(".")[0] for line in lines}
    assert not imported & {"torch", "hydra", "wandb", "matplotlib"}


@pytest.mark.parametrize("arguments", [["--value", "56.5", "--metric", "top1"], ["--metric", "top1"], ["--draws", "0"]])
def test_unusable_arguments_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    write_runs(tmp_path, ladder(seeds=1))
    assert cli.main(["aggregate", str(tmp_path), *arguments]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_empty_folder_missing_folder_and_only_full_schedules(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["aggregate", str(tmp_path)]) == 2
    assert "no finished run" in capsys.readouterr().err
    assert cli.main(["aggregate", str(tmp_path / "absent")]) == 2
    write_runs(tmp_path, [Made("alexnet", [0.5], target=None, outcome="budget_exhausted")])
    with pytest.raises(BadInput, match="harness target"):
        aggregate.build(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("run.json", lambda text: text[: len(text) // 2], "truncated"),
        ("run.json", lambda text: text.replace('"seed": 0', '"seed": 1'), "edited"),
        (
            "run.json",
            lambda text: re.sub('"protocol_version": [0-9]+', '"protocol_version": 0', text),
            "protocol version",
        ),
        ("config.yaml", lambda text: text + "#", "edited"),
    ],
)
def test_a_record_that_is_not_whole_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, change: Callable[[str], str], words: str
) -> None:
    path = write_run(tmp_path, Made("alexnet", curve_reaching(5)))
    text = (path / name).read_text()
    assert change(text) != text
    (path / name).write_text(change(text))
    assert cli.main(["aggregate", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert words in message
    assert len(message.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_damaged_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, Made("alexnet", curve_reaching(5)))
    text = (path / "curve.jsonl").read_text()
    (path / "curve.jsonl").write_text(text.replace('"correct_top1": 500', '"correct_top1": 900'))
    assert cli.main(["aggregate", str(tmp_path)]) == 2
    assert "hash mismatch" in capsys.readouterr().err
