"""Files that people really bring: each with what is read from it, or the line that says how to get there."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cli
from harness.record.folders.folder import Run, read_runs, seal

FACTS = ["--set", "model=net", "--set", "published=2016-01-31", "--set", "forward_macs=2000000"]


def brought(tmp_path: Path, content: str | bytes, *arguments: str, name: str = "run.csv") -> int:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return cli.main(
        ["import-curves", str(path), "--out", str(tmp_path / "runs"), "--source", "a log", *FACTS, *arguments]
    )


def read(tmp_path: Path) -> dict[str, list[tuple[float, int, int | None]]]:
    """(epoch, top-1 and top-5 counts of 50,000) by run, in the order of their names."""
    return {
        run.summary["title"]: [(round(e.epoch, 4), e.correct_top1, e.correct_top5) for e in run.curve]
        for run in read_runs(tmp_path / "runs")
    }


TWO = [(1.0, 20_000, 30_000), (2.0, 28_261, 39_550)]
PLAIN = "epoch,top1,top5\n1,40,60\n2,56.522,79.1\n"
PYCLS = (
    '[meters.py: 10]: json_stats: {"_type": "train_epoch", "epoch": "1/100", "loss": 3.1}\n'
    '[meters.py: 11]: json_stats: {"_type": "test_epoch", "epoch": "1/100", "top1_err": 60.0, "top5_err": 40.0}\n'
    '[meters.py: 11]: json_stats: {"_type": "test_epoch", "epoch": "2/100", "top1_err": 43.478, "top5_err": 20.9}\n'
)
MMPRETRAIN = (
    '{"lr": 0.1, "loss": 5.0, "epoch": 1, "iter": 100}\n'
    '{"accuracy/top1": 40.0, "accuracy/top5": 60.0, "step": 1}\n'
    '{"accuracy/top1": 56.522, "accuracy/top5": 79.1, "step": 2}\n'
)
TIMM = "epoch,train_loss,eval_loss,eval_top1,eval_top5,lr\n0,5.1,4.0,40,60,0.1\n1,4.1,3.0,56.522,79.1,0.1\n"
WANDB = (
    '"Step","a - val/top1","a - val/top1__MIN","a - val/top1__MAX","a - val/top5"\n'
    '"1","40","40","40","60"\n"2","56.522","56.522","56.522","79.1"\n'
)


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        (PLAIN, ()),
        (PLAIN.replace(",", ";"), ()),
        (PLAIN.replace(",", "\t"), ()),
        (PLAIN.replace(",", ";").replace(".", ","), ()),
        (PLAIN.encode("utf-16"), ()),
        (PLAIN.encode("utf-8-sig"), ()),
        (PLAIN.replace("\n", "\r\n"), ()),
        (PLAIN.replace(",", " , ").replace("epoch", " Epoch").replace("top1", "Top1"), ()),
        ("Epoch,Val Acc@1 (%),Val Acc@5 (%)\n1,40,60\n2,56.522,79.1\n", ()),
        ("epoch,top1,top5\n1,40%,60%\n2,56.522%,79.1%\n", ()),
        ("epoch,top1,top5\n1,.4,.6\n2,.56522,.791\n", ()),
        ("epoch,top1,top5\n1,0.4,0.6\n2,0.5652199983596802,0.791\n", ()),  # a float of 32 bits
        ("epoch,top1_fraction,top5_fraction\n1,.4,.6\n2,.56522,.791\n", ()),
        ('images,top1,top5\n"1,281,167",40,60\n"2,562,334",56.522,79.1\n', ()),
        ("images;top1;top5\n1.281.167;40,0;60\n2.562.334;56,522;79,1\n", ()),
        ("images;top1;top5\n1 281 167;40;60\n2 562 334;56.522;79.1\n", ()),
        ("e;a;b\n1;40;60\n2;56.522;79.1\n", ("--map", "epoch=e", "--map", "top1=a", "--map", "top5=b")),
        ("\n\nepoch,train_top1,top1,top5\n\n1,70,40,60\n2,90,56.522,79.1\n", ()),
        ("epoch,top1,top5\n0,0.1,0.5\n1,40,60\n2,56.522,79.1\n", ()),  # the check before training is left out
        ("epoch,top1,top5\n0,40,60\n1,56.522,79.1\n", ("--epochs-from", "0")),
        (TIMM, ()),
        (PYCLS, ()),
        (MMPRETRAIN, ("--map", "epoch=step")),
        (WANDB, ("--map", "epoch=Step")),
    ],
)
def test_what_people_have_is_read(tmp_path: Path, content: str | bytes, arguments: tuple[str, ...]) -> None:
    assert brought(tmp_path, content, *arguments) == 0
    assert list(read(tmp_path).values()) == [TWO]


def test_several_runs_side_by_side_come_apart(tmp_path: Path) -> None:
    text = "epoch,a - val/top1,b - val/top1\n1,40,\n2,56.522,30\n3,,50\n"
    assert brought(tmp_path, text) == 2  # both are seed 0 of one plan
    assert brought(tmp_path, text, "--map", "recipe=run") == 0
    runs = {run.summary["recipe"]: run for run in read_runs(tmp_path / "runs")}
    assert [(e.epoch, e.correct_top1) for e in runs["a"].curve] == [(1, 20_000), (2, 28_261)]
    assert [(e.epoch, e.correct_top1) for e in runs["b"].curve] == [(2, 15_000), (3, 25_000)]


def test_seeds_tell_repetitions_apart(tmp_path: Path) -> None:
    both = "run,seed," + PLAIN.splitlines()[0] + "\na,0,1,40,60\na,0,2,56.522,79.1\nb,1,1,30,50\nb,1,2,40,60\n"
    assert brought(tmp_path, both) == 0
    assert [run.seed for run in sorted(read_runs(tmp_path / "runs"), key=lambda r: r.seed)] == [0, 1]


def test_tensorboards_export_has_the_run_in_its_name(tmp_path: Path) -> None:
    text = "Wall time,Step,Value\n1700000000.5,1,40\n1700000060.5,2,56.522\n"
    assert brought(tmp_path, text, "--map", "epoch=Step", "--map", "top1=Value") == 0
    (run,) = read_runs(tmp_path / "runs")
    assert [(e.epoch, e.correct_top1, e.correct_top5) for e in run.curve] == [(1, 20_000, None), (2, 28_261, None)]


def test_what_was_guessed_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert brought(tmp_path, "Epoch;Val Acc@1\n1;40,5\n2;56,522\n") == 0
    told = capsys.readouterr().err
    assert "top1 is column 'Val Acc@1'" in told
    assert "read as percent" in told


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (WANDB, (), "line 1: lacks epoch or images; say which column it is, as --map epoch=HEADING"),
        ("epoch,score\n1,40\n", (), "lacks top1; say which column"),
        ("epoch,top1,val_acc1\n1,40,50\n", ("--map", "top1=nothing"), "no column 'nothing' for top1; there are: epoch"),
        ("epoch,acc1,val_acc1\n1,40,50\n", (), "acc1 and val_acc1 could both be top1; say --map top1=HEADING"),
        ("epoch;top1\n1;1,281\n2;2,562\n", (), "line 2: is '1,281' 1281 or 1.281"),
        (PLAIN, ("--map", "nonsense=epoch"), "--map nonsense=...: use one of"),
        (PLAIN, ("--set", "model"), "--set model: write NAME=VALUE"),
        ("epoch,top1\n0,40\n1,50\n", (), "line 2: top1 40.0% after 0 images, where guessing gives 0.1%; does the log"),
        ("epoch,top1\n1,40\n2,50\n5,60\n", ("--set", "planned_epochs=2"), "line 4: epoch 5 of a plan of 2"),
        ("epoch,images,top1\n1,1281167,40\n2,9000000,50\n", (), "line 3: epoch 2 is 2562334 images"),
        ("epoch,images,top1\n1,1281,40\n2,2562,50\n", (), "line 2: epoch 1 is 1281167 images"),
        ("images,top1\n1281,40\n2562,50\n", (), "line 3: the whole run saw 2562 images, under a tenth of an epoch"),
        ("epoch,top1\n5005,40\n10010,50\n", (), "line 2: epoch is 5005; are these iterations?"),
        ("epoch,top1\n1,40\n2,forty\n", (), "line 3: top1 is 'forty', not a number"),
        ("epoch,top1\n1,40\n2,140\n", (), "line 3: top1 is 140"),
        ("epoch,top1,top1\n1,40,40\n", (), "line 1: two columns have one heading"),
        (b"epoch,top1\n1,\xff\xfe\n", (), "line 2: not UTF-8"),
        ('epoch,top1\n1,"40\n', (), "line 2: not a readable CSV"),
        ('{"epoch": 1, "top1": 40}\n{"epoch": 2, "top1"\n', (), "line 2: a JSON object that does not end"),
        (
            "run,epoch,top1\na,1,40\nb,1,40\n",
            (),
            "runs a and b are both net, recipe foreign, seed 0: give a column seed",
        ),
    ],
)
def test_what_is_in_doubt_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | bytes, arguments: tuple[str, ...], words: str
) -> None:
    assert brought(tmp_path, content, *arguments) == 2
    message = capsys.readouterr().err
    assert words in message
    assert len(message.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.csv"]


@pytest.mark.parametrize(
    ("model", "macs", "words"),
    [
        ("alexnet", "1428376960", "has 714188480 at 224 pixels; that is FLOPs, two a MAC"),
        ("alexnet", "1130000000", "zoo:alexnet has 714188480 at 224 pixels: correct it"),
        ("elsewhere", "", "nothing here counts zoo:elsewhere at 224 pixels: give forward_macs"),
    ],
)
def test_a_figure_for_a_network_that_we_can_count_is_compared_with_the_count(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, macs: str, words: str
) -> None:
    assert brought(tmp_path, PLAIN, "--set", f"model={model}", "--set", f"forward_macs={macs}") == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_macs_are_counted_where_the_file_gives_none_and_a_rounded_figure_is_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert brought(tmp_path, PLAIN, "--set", "model=alexnet", "--set", "forward_macs=") == 0
    assert brought(tmp_path, PLAIN, "--set", "model=alexnet", "--set", "forward_macs=0.71e9", "--set", "seed=1") == 0
    runs = sorted(read_runs(tmp_path / "runs"), key=lambda run: run.seed)
    assert [run.summary["bill"]["forward_macs"] for run in runs] == [714_188_480, 710_000_000]
    assert cli.main(["check", str(tmp_path / "runs")]) == 0
    assert "2 records, 0 defects; MACs counted again" in capsys.readouterr().err


def test_progressive_training_is_billed_at_what_it_trained(tmp_path: Path) -> None:
    macs = tmp_path / "macs.csv"
    macs.write_text("constructor,resolution,forward_macs\nzoo:net,128,1000000\nzoo:net,160,3000000\n")
    text = "epoch,top1\n1,10\n1.5,20\n2,30\n3,40\n"
    assert (
        brought(tmp_path, text, "--set", "forward_macs=", "--set", "resolution=1:128 2:160", "--macs", str(macs)) == 0
    )
    (run,) = read_runs(tmp_path / "runs")
    images = [row.images for row in run.curve]
    first = 1_281_167
    later = [first * 10**6 + (n - first) * 3 * 10**6 for n in images[1:]]
    assert [row.train_forward_macs for row in run.curve] == [images[0] * 10**6, *later]
    assert cli.main(["check", str(tmp_path / "runs")]) == 0


def test_repeated_augmentation_multiplies_what_an_epoch_costs(tmp_path: Path) -> None:
    assert brought(tmp_path, PLAIN, "--set", "copies_per_image=3") == 0
    (run,) = read_runs(tmp_path / "runs")
    assert [row.images for row in run.curve] == [3 * 1_281_167, 6 * 1_281_167]
    assert [row.epoch for row in run.curve] == [1, 2]


def test_an_error_of_a_plot_stands_in_the_record(tmp_path: Path) -> None:
    assert brought(tmp_path, PLAIN, "--set", "error_top1_points=0.06") == 0
    (run,) = read_runs(tmp_path / "runs")
    assert [(row.error_top1, row.error_top5) for row in run.curve] == [(30, None)] * 2


@pytest.fixture
def record(tmp_path: Path) -> Run:
    assert brought(tmp_path, PLAIN, "--set", "model=alexnet", "--set", "forward_macs=") == 0
    (run,) = read_runs(tmp_path / "runs")
    return run


def reseal(record: Run, name: str, change: Callable[[str], str]) -> None:
    """Edit one file of a record and seal it again: its hashes are right."""
    path = record.path / name
    path.write_text(change(path.read_text()))
    seal(record.path, {k: v for k, v in record.summary.items() if k not in ("sha256", "self_sha256")})


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("provenance.json", lambda t: t.replace('"source": "a log"', '"source": ""'), "imported_from names no source"),
        ("provenance.json", lambda t: t.replace('"sha256": "', '"sha256": "x'), "no sha256 of the file"),
        ("provenance.json", lambda t: t.replace("imported_from", "finished_utc"), "does not say where"),
        ("config.yaml", lambda t: t.replace("first_epoch: 1", "first_epoch: 2"), "train_forward_macs"),
        ("config.yaml", lambda t: t.replace("alexnet", "resnet18"), "counted again 1814073344"),
    ],
)
def test_check_looks_at_source_stages_and_macs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Run, name: str, change: Callable[[str], str], words: str
) -> None:
    assert cli.main(["check", str(tmp_path / "runs")]) == 0
    reseal(record, name, change)
    capsys.readouterr()
    assert cli.main(["check", str(tmp_path / "runs")]) == 1
    assert words in capsys.readouterr().out


def test_check_compares_the_source_file_where_it_is_at_hand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: Run
) -> None:
    command = ["check", str(record.path), "--no-recount", "--curves", str(tmp_path)]
    assert cli.main(command) == 0
    (tmp_path / "run.csv").write_text(PLAIN.replace("40", "41"))
    assert cli.main(command) == 1
    assert "is not the file it was imported from" in capsys.readouterr().out
    (tmp_path / "run.csv").unlink()
    assert cli.main(command) == 1
    assert "run.csv is missing, from which it was imported" in capsys.readouterr().out
