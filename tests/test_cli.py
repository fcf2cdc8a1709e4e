import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import VERBS, build_parser, main
from harness.paths import ROOT


def test_help_fits_a_screen_and_every_verb_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 40
    assert all(verb in text for verb in VERBS)
    for verb in VERBS:
        assert VERBS[verb].example.startswith(f"harness {verb}")
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert "example: harness" in capsys.readouterr().out


def test_bad_input_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "model=resnet19"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("harness: model=resnet19: no such model")
    assert error.count("\n") == 1


def test_an_unknown_verb_names_the_others() -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser("").parse_args(["trian"])
    assert ended.value.code == 2


def test_analysis_starts_without_torch_hydra_and_wandb(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in {'torch', 'torchvision', 'hydra', 'omegaconf', 'wandb', 'fvcore'}:\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from harness.cli import main\n"
        "assert main(['replay', '--json']) == 0\n"
        f"assert main(['aggregate', {str(tmp_path)!r}]) == 2\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "no finished run" in done.stderr


def test_no_analysis_imports_scipy_stats() -> None:
    """It takes longer to import than all else that `aggregate` and `report` need, and three functions were used."""
    code = (
        "import sys\n"
        "import harness.cli, harness.verbs.aggregate, harness.verbs.report, harness.verbs.status\n"
        "import harness.analyse.show.aggregate, harness.analyse.show.pages, harness.analyse.page.report\n"
        "import harness.analyse.show.collected, harness.analyse.show.figures.gallery, harness.analyse.trend.factors\n"
        "print(sorted(name for name in sys.modules if name in ('scipy.stats', 'scipy.optimize', 'scipy.special')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "['scipy.special']\n"


def test_the_help_of_no_verb_waits_for_a_heavy_library() -> None:
    """Completion builds the arguments of every verb, so that it imports all that any `harness VERB --help` does."""
    code = (
        "import sys\n"
        "from harness.cli import build_parser\n"
        "build_parser(None)\n"
        "heavy = {'torch', 'torchvision', 'scipy', 'matplotlib', 'sklearn', 'hydra', 'wandb', 'fvcore'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
