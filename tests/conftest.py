"""What holds for every test, and how tests share a machine (`make test TEST_PROCESSES=2`)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores belong to the other workers


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A file's tests stay in one process, and so do all that need the cluster, which is started once."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            path = item.path.relative_to(TESTS)
            item.add_marker(pytest.mark.xdist_group("slurm" if path.parts[0] == "slurm" else path.as_posix()))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test counts does not lie in the user's cache afterwards, nor is it read from there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("counted")))
        yield
