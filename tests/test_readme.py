"""The README keeps its word: its commands run, its numbers are generated, its links lead somewhere."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import cli
from harness.analyse.show import aggregate, findings
from harness.paths import ROOT
from harness.record.errors import BadInput
from results import readme
from tests import forked
from tests.analyse.synthetic import Made, day, ladder, write_run, write_runs

README = (ROOT / "README.md").read_text(encoding="utf-8")
OTHER_PAGES = [page for page in readme.PAGES if page != "README.md"] + ["harness/measure/mirror/README.md"]
PAGES = {page: (ROOT / page).read_text(encoding="utf-8") for page in ["README.md", *OTHER_PAGES]}
ELSEWHERE = ("needs ImageNet", "needs a cluster", "needs a GPU", "needs a W&B account", "run by CI")
"""What a command that no test executes must say about itself."""

RUN_ALL = """
import json, sys
from harness.cli import main
for words in json.loads(sys.argv[1]):
    print("$", *words, flush=True)
    code = main(words)
    if code:
        sys.exit(f"{words}: exit code {code}")
"""


def commands() -> list[tuple[str, str]]:
    """(command, comment) of every line of every shell block."""
    text = "\n".join(PAGES.values())
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL) for line in block.splitlines()]
    split = [line.partition("# ") for line in lines if line.strip()]
    return [(command.strip(), comment.strip()) for command, _, comment in split]


def is_elsewhere(comment: str) -> bool:
    return comment.startswith(ELSEWHERE)


def test_every_command_is_run_here_or_says_what_it_needs(tmp_path: Path) -> None:
    """In a copy of the tree's folders that commands read, so that none writes into the source tree."""
    for name in ("results", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    here = [command for command, comment in commands() if not is_elsewhere(comment)]
    assert len(here) >= 10
    completion = [command for command in here if ">" in command or command.startswith("mkdir ")]
    assert len(completion) == 2
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    env |= {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}
    harness = [shlex.split(command)[1:] for command in here if command not in completion]
    assert all(command.startswith("harness ") for command in here if command not in completion)
    done = forked.run(["-c", RUN_ALL, json.dumps(harness)], cwd=tmp_path, env=env, timeout=500)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / "demo" / "tour-table" / "TABLE.md").exists()
    assert (tmp_path / "demo" / "tour.html").stat().st_size > 50_000
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n')
    (tmp_path / "bin" / "harness").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{env['PATH']}"
    subprocess.run(["bash", "-ec", "\n".join(completion)], cwd=tmp_path, env={**env, "PATH": path}, check=True)
    script = tmp_path / ".local/share/bash-completion/completions/harness"
    assert completed(script, "harness re", 1) == ["report", "replay"]
    assert completed(script, "harness train --det", 2) == ["--detach"]
    assert "model=alexnet" in completed(script, "harness train mod", 2)
    assert completed(script, "harness train model = wide", 4) == ["wide_resnet50_2"]


def completed(script: Path, typed: str, word: int) -> list[str]:
    """What bash offers after `typed`, whose words stand apart as bash splits them (also at "=")."""
    line = typed.replace(" = ", "=")
    code = (
        f"source {script}; COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({typed}); COMP_CWORD={word}; "
        'compopt() { :; }; _shtab_harness; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_commands_of_elsewhere_still_parse() -> None:
    """Commands that need ImageNet, a cluster or an account use verbs, options and overrides that exist."""
    from harness.measure.config.compose import compose

    parser = cli.build_parser(None)
    for command, comment in commands():
        words = shlex.split(command)
        if not is_elsewhere(comment) or words[0] != "harness":
            continue
        options = [w for w in words[1:] if w.startswith("-")]
        overrides = [w for w in words[2:] if "=" in w and not w.startswith("-")]
        args, _ = parser.parse_known_args([words[1], *options, *[w for w in words[2:] if not w.startswith("-")]])
        assert args.verb == words[1]
        if words[1] in ("train", "plan"):
            single = [f"{k}={v.split(',')[0]}" for k, _, v in (w.partition("=") for w in overrides)]
            compose([w for w in single if not w.startswith(("target=runs100", "hydra/"))])


def test_generated_blocks_are_current() -> None:
    for page in readme.PAGES:
        assert readme.fill(PAGES[page], ROOT) == PAGES[page], f"{page}: run `make results`"


def test_the_front_page_is_short() -> None:
    assert len(README.splitlines()) <= 150
    (header,) = re.findall(r"generated: table -->\n(.*)\n", README)
    assert header.count(" | ") + 1 <= 6, "six columns at most"


def test_every_link_leads_somewhere() -> None:
    for file in ("CONTRIBUTING.md", *PAGES):
        text = (ROOT / file).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]+)\)", text):
            if not target.startswith("http"):
                assert ((ROOT / file).parent / target).exists(), f"{file} links to {target}"


def test_the_figure_and_the_table_come_first_and_the_two_commands_next() -> None:
    parts = ("generated: headline", "generated: table", "\nmake demo", "\nmake test", "## ImageNet")
    order = [README.index(words) for words in parts]
    assert order == sorted(order)
    assert README.index("generated: headline") < 1200


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with one analysed ladder."""
    runs = write_runs(tmp_path / "results" / "runs" / "synthetic", ladder())
    missed = [0.01 * i for i in range(1, 31)]
    write_run(runs, Made("missednet", missed, day(40), outcome="budget_exhausted"))
    document = aggregate.build(runs, draws=200)
    aggregate.write(document, tmp_path / "results" / "synthetic", figures=False)
    (tmp_path / "conf").mkdir()
    shutil.copytree(ROOT / "conf" / "model", tmp_path / "conf" / "model")
    shutil.copytree(ROOT / "results" / "throughput", tmp_path / "results" / "throughput")
    return tmp_path


def test_blocks_show_the_analysed_numbers(tree: Path) -> None:
    markers = "".join(f"<!-- generated: {name} -->\nSTALE\n<!-- end -->\ntext\n" for name in readme.BLOCKS)
    text = readme.fill(markers, tree)
    assert "STALE" not in text
    assert text.count("\ntext\n") == len(readme.BLOCKS)
    assert "**16.0x** less arithmetic than Alexnet" in text  # four planted halvings
    assert "16.0 months**" in text
    assert "| 0/1 |" in re.sub(" +", " ", text)
    assert "results/synthetic/trend.svg" in text
    assert readme.fill(text, tree) == text


def test_order_against_the_published_table(tmp_path: Path) -> None:
    published = [("resnet18", 8), ("vgg11", 30), ("mobilenet_v2", 4), ("densenet121", 6)]
    rows: list[dict[str, Any]] = [
        {"model": m, "title": m, "cost": float(c), "cost_interval": [c - 1, c + 1], "epochs": e, "forward_macs": c}
        for (m, c), e in zip(published, (15, 7, 16, 12), strict=True)
    ]
    # published PFLOP: vgg11 367.7, resnet18 97.9, densenet121 82.9, mobilenet_v2 20.2: the same order
    cost, places, epochs = findings.order_against_published(rows)
    assert "rank correlation 1.00 (1: the same) of the 4" in cost
    # epochs here 15, 7, 16, 12 rank 3, 1, 4, 2; published 15, 12, 16, 8 rank 3, 2, 4, 1: 1 - 6 x 2 / (4 x 15)
    assert "the rank correlation is 0.80" in epochs
    assert "cheapest there" not in cost
    assert places.startswith("0 of 4 stand at another place than there; for 0 of them")
    rows[1] |= {"cost": 1.0, "cost_interval": [0.5, 31.0]}  # wide enough for its old place, the last
    cost, places, _ = findings.order_against_published(rows)
    assert "vgg11 is 1 of 4 here and 4 there" in cost
    assert places.endswith(
        "for 3 of them no cost in their own interval has the place there, the others left where they are: "
        "densenet121, mobilenet_v2, resnet18."
    )
    rows[1]["cost_interval"] = [0.5, None]  # no upper end: any later place is allowed
    assert "vgg11" not in findings.order_against_published(rows)[1]
    rows[1]["cost_interval"] = [0.5, 5.0]
    assert "vgg11" in findings.order_against_published(rows)[1]
    rows.append({"model": "efficientnet_b0", "title": "EfficientNet-B0", "cost": None})
    assert "EfficientNet-B0, the cheapest there, missed here" in findings.order_against_published(rows)[0]
    assert findings.order_against_published(rows[:2]) == []


def test_an_unknown_block_is_named() -> None:
    with pytest.raises(BadInput, match="no block is called 'nonsense'"):
        readme.fill("<!-- generated: nonsense -->\n<!-- end -->", ROOT)


def test_the_readme_of_a_tree_is_filled_in_place(tree: Path) -> None:
    for page in readme.PAGES:
        (tree / page).parent.mkdir(parents=True, exist_ok=True)
        (tree / page).write_text("<!-- generated: verbs -->\n<!-- end -->\n")
    readme.main(tree)
    assert all("`harness replay`" in (tree / page).read_text() for page in readme.PAGES)


def test_a_bench_on_a_gpu_is_shown_whatever_failed_in_it(tmp_path: Path) -> None:
    """Two networks, one without figures; steps of each way; and a machine on which nothing names the driver."""
    folder = tmp_path / "results" / "throughput"
    folder.mkdir(parents=True)
    good = {
        "model": "net", "precision": "bf16", "steps": {"bare": 10, "graphs": 40}, "share_of_matmul_ceiling": 0.5,
        "images_per_second": {"bare": 100.0, "graphs": 400.0}, "of_bare": {"bare": 1.0, "graphs": 4.0},
        "seconds_per_image_rounds": {"bare": [0.01], "graphs": [0.005]},
    }  # fmt: skip
    document = {
        "circumstances": {"gpu": "a GPU", "packages": {"torch": "2"}, "commit": "0123456789"},
        "settings": {"ways": "bare,graphs", "batch": "2", "resolution": "64", "rounds": "1"},
        "matmul_bf16_flops_per_second": 1e12,
        "networks": [good, {"model": "other", "failure": "RuntimeError: no"}],
    }
    path = folder / "gpu_step_64px.json"
    path.write_text(json.dumps(document))
    shown = readme.gpu_steps(tmp_path)
    assert "400 (4.00)" in shown
    assert "each over 0.20 to 0.40 s" in shown
    assert "driver unknown" in shown
    assert "other failed: RuntimeError: no." in shown
    path.write_text(json.dumps({**document, "networks": document["networks"][1:]}))
    assert "other failed" in readme.gpu_steps(tmp_path)
