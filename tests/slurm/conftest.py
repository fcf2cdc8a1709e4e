from collections.abc import Iterator

import pytest
from cluster import Cluster, missing, running


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A real Slurm for the whole session; clients in this process find it too."""
    if (reason := missing()) is not None:
        pytest.skip(reason)
    with pytest.MonkeyPatch.context() as patch, running() as started:
        for name in ("PATH", "SLURM_CONF"):
            patch.setenv(name, started.environment[name])
        yield started
