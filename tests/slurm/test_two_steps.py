"""Two runs at once in one allocation never meet; `crossing.py` does it as often as asked."""

import pytest
from cluster import Cluster
from crossing import cross

pytestmark = pytest.mark.slurm


def test_two_steps_of_one_job_are_two_runs(cluster: Cluster) -> None:
    assert cross(cluster, rounds=1) == []
