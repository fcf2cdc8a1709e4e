"""`python -m tests.gpu` prints what became of each test, and why one did not run."""

import os

from tests import forked
from tests.gpu.devices import NO_GPU


def test_the_command_prints_a_row_for_each_test() -> None:
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = forked.run(["-m", "tests.gpu", "-k", "every_level"], env=alone, timeout=300)
    assert done.returncode == 0, done.stdout
    rows = {row.split("│")[1].strip(): row for row in done.stdout.splitlines() if row.startswith("│")}
    assert list(rows) == ["every level is normalised alike[cpu]", "every level is normalised alike[cuda]"]
    assert "passed" in rows["every level is normalised alike[cpu]"]
    assert ("skipped" in rows["every level is normalised alike[cuda]"]) == (NO_GPU in done.stdout)
