"""A GPU's counter has the joules of all who share it: they are a run's own only where it was alone at every look."""

from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from harness.analyse.evidence.runs.run import read_run
from harness.measure.config.schema import Config
from harness.measure.machine import device
from harness.measure.machine.signals import StopFlag
from harness.measure.run import run
from harness.measure.training import loop


@pytest.mark.parametrize(
    ("looks", "alone"), [([True, True], True), ([False, True], False), ([True, False], False)], ids=str
)
def test_joules_of_a_shared_gpu_are_no_runs_own(
    looks: list[bool], alone: bool, tiny_config: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    joules, company = count(), iter(looks)
    monkeypatch.setattr(loop, "energy_counter", lambda _: lambda: float(next(joules)))
    monkeypatch.setattr(loop, "alone_on", lambda _: next(company))
    folder = run(tiny_config("budget.epochs=2", "evaluations_per_epoch=1"), stop=StopFlag()).folder
    found = read_run(folder)
    assert len(found.clock("energy_joules")) == len(looks)
    assert np.isfinite(found.clock("energy_joules")).all() == alone
    assert f'"gpu_alone": {str(alone).lower()}' in (folder / "run.json").read_text()


class Library:
    """NVML with so many processes on the GPU; it cannot tell where that is None."""

    class NVMLError(Exception): ...

    def __init__(self, processes: int | None) -> None:
        self._processes = processes

    def nvmlDeviceGetComputeRunningProcesses(self, handle: object) -> list[object]:
        if self._processes is None:
            raise self.NVMLError
        return [object()] * self._processes


@pytest.mark.parametrize(("processes", "alone"), [(0, True), (1, True), (2, False), (None, False)])
def test_a_run_is_alone_where_nvml_sees_no_second_process(
    processes: int | None, alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "nvml_handle", lambda _: (Library(processes), None))
    assert device.alone_on(device.torch.device("cuda")) == alone


def test_without_nvml_nobody_is_known_to_be_alone() -> None:
    assert not device.alone_on(device.torch.device("cpu"))
