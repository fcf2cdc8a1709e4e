"""Two runs of two processes each, at the same time in one allocation, round after round: does any meet the other's?

`python tests/slurm/crossing.py --rounds 10` prints a line a round and ends with 1 where one crossed. A run that had
trained with a process of the other one would have another curve than the same run alone.
"""

import argparse
import json
import sys
from pathlib import Path
from subprocess import DEVNULL

from cluster import Cluster, missing, running

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from harness.record.curve import TIMING_FIELDS  # noqa: E402
from harness.record.folders.folder import CURVE, find_run_folders, is_finished, read_run  # noqa: E402
from tests import forked  # noqa: E402
from tests.ports import two_ranks  # noqa: E402

RUN = "data=fake model=squeezenet1_1 target=none device=cpu precision=fp32 threads=1 budget.epochs=2"
SEEDS = (0, 1)


def cross(cluster: Cluster, rounds: int) -> list[str]:
    """What went wrong, a line each; empty where every run is whole and equal to itself alone."""
    root = cluster.root / "crossing"
    root.mkdir()
    script = root / "job.sh"
    for seed in SEEDS:
        _alone(root / "alone", seed)
    train = f"srun --exact -n2 {sys.executable} -m harness train {RUN}"
    together = [
        " & ".join(f"{train} seed={seed} out={root}/round{number}" for seed in SEEDS) + " & wait"
        for number in range(1, rounds + 1)
    ]
    script.write_text("\n".join(["#!/bin/bash", *together, "true"]) + "\n")
    log = f"--output={root}/job.log"
    submit = ["sbatch", "--parsable", "--nodes=1", "--ntasks=4", "--cpus-per-task=1", log, str(script)]
    job = cluster.call(*submit, cwd=REPOSITORY).strip()
    cluster.wait_for(job, "COMPLETED", "FAILED", seconds=3600)
    expected = _curves(root / "alone")
    told = [] if len(expected) == len(SEEDS) else [f"alone: {len(expected)} of {len(SEEDS)} runs are whole"]
    for number in range(1, rounds + 1):
        found = _curves(root / f"round{number}")
        wrong = [
            f"round {number}, seed {seed}: not as alone" for seed in SEEDS if found.get(seed) != expected.get(seed)
        ]
        told += wrong
        print(f"round {number}: {'; '.join(wrong) or 'neither crossed'}", flush=True)
    checked = forked.run(["-m", "harness", "check", root], timeout=120)
    return told + ([] if checked.returncode == 0 else [checked.stdout + checked.stderr, (root / "job.log").read_text()])


def _alone(out: Path, seed: int) -> None:
    """The same run of two processes, outside the cluster."""
    command = ["-m", "harness", "train", *RUN.split(), f"seed={seed}", f"out={out}"]
    for process in [forked.Forked(command, env=rank, stderr=DEVNULL) for rank in two_ranks()]:
        process.wait(timeout=300)


def _curves(root: Path) -> dict[int, list[dict[str, object]]]:
    """The untimed curve of every sealed run of two processes, by seed."""
    curves = {}
    for folder in find_run_folders(root) if root.is_dir() else []:
        if is_finished(folder) and read_run(folder).summary["hardware"]["world_size"] == 2:
            rows = [json.loads(line) for line in (folder / CURVE).read_text().splitlines()]
            untimed = [{key: value for key, value in row.items() if key not in TIMING_FIELDS} for row in rows]
            curves[read_run(folder).seed] = untimed
    return curves


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    if (reason := missing()) is not None:
        print(reason, file=sys.stderr)
        return 2
    with running() as cluster:
        told = cross(cluster, rounds)
    print("\n".join([*told, f"{rounds} rounds, {len(told)} defects"]))
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
