"""What holds for every test, and how tests share a machine: `make test` starts two processes more than it has cores."""

import atexit
import copy
import functools
import gc
import io
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf

from harness.measure.machine.importing import uncollected

# Whoever starts the tests may ignore these, as nohup and a background job do, and every process here would inherit it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

CLUSTER = "tests/slurm/"

_load = OmegaConf.load


@functools.cache
def _parsed(text: str) -> Any:
    return _load(io.StringIO(text))


def _parsed_once(file: Any) -> Any:
    """A config as Hydra reads it, fifteen files for each of a thousand runs: a text is parsed the first time alone."""
    return copy.deepcopy(_parsed(file.read())) if hasattr(file, "read") else _load(file)


OmegaConf.load = _parsed_once  # type: ignore[method-assign,assignment]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported with the tests is no garbage, and Python need not look through it again with every test."""
    with uncollected():
        collected = yield
    gc.freeze()
    atexit.register(gc.unfreeze)  # what is frozen at the end is reported as a leak by libraries
    gc.set_threshold(20_000)  # objects between two searches for garbage; 700 by default
    return collected


if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the other cores belong to the other workers

    def pytest_runtest_logstart(nodeid: str) -> None:
        """Give way to the jobs on the cluster, some of which have to save in time."""
        if not nodeid.startswith(CLUSTER):
            _step_back()

    @functools.cache
    def _step_back() -> None:
        os.nice(5)


try:
    from xdist.scheduler.loadscope import LoadScopeScheduling
except ImportError:
    pass  # tests run in one process
else:

    class _Files(LoadScopeScheduling):
        """A file's tests stay in one process, and so do all that need the cluster, which is started once.

        xdist's own loadgroup marks a group in the name of a test, where pytest 9 does not look.
        """

        def _split_scope(self, nodeid: str) -> str:
            return "slurm" if nodeid.startswith(CLUSTER) else nodeid.partition("::")[0]

    @pytest.hookimpl(optionalhook=True)  # `-p no:xdist` leaves it unknown
    def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> _Files:
        """Share the tests out by file, whatever --dist says."""
        return _Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: the cluster, which mostly waits; then whole programs, which lie at the top."""
    items.sort(key=lambda item: (not item.nodeid.startswith(CLUSTER), item.nodeid.partition("::")[0].count("/") > 1))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test counts does not lie in the user's cache afterwards, nor is it read from there; all tests share it."""
    base = tmp_path_factory.getbasetemp()
    own = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "counted"
    own.mkdir(exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(own))
        yield
