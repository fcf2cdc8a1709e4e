"""The wait for data on a device that works behind the host, simulated: a queue with a clock of its own."""

from collections.abc import Iterator

import pytest
import torch

from harness.measure.data.loader.waiting import STEPS_AHEAD, Waiting

STEP, STEPS = 0.1, 200  # seconds of the device's work, steps


class Mark:
    def __init__(self, device: "Device", at: float) -> None:
        self.device, self.at = device, at

    def synchronize(self) -> None:
        self.device.now = max(self.device.now, self.at)

    def elapsed_time(self, end_event: "Mark", /) -> float:
        return 1000 * (end_event.at - self.at)


class Device:
    """`now`: the host's clock. `free`: when the device has done all that is queued."""

    def __init__(self) -> None:
        self.now = self.free = 0.0

    def record(self) -> Mark:
        self.free = max(self.free, self.now)
        return Mark(self, self.free)


def share_waited(speed: float) -> tuple[float, float]:
    """Share of the device's time without work, and the most steps queued, with a loader `speed` times as fast."""
    device, ahead = Device(), 0.0

    def loader() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in range(STEPS):
            device.now += STEP / speed
            yield torch.empty(0), torch.empty(0)

    waiting = Waiting(device.record)
    for _ in waiting.over(loader()):
        device.free = max(device.free, device.now) + STEP
        ahead = max(ahead, (device.free - device.now) / STEP)
    return waiting.take_seconds() / device.free, ahead


@pytest.mark.parametrize("speed", [2.0, 1.2, 1.05])
def test_a_loader_that_is_faster_leaves_the_device_no_wait(speed: float) -> None:
    """The first batch alone is waited for; the host's own waiting would read 35 to 76 %."""
    waited, ahead = share_waited(speed)
    assert waited == pytest.approx(1 / speed / (STEPS + 1 / speed), abs=0.002)
    assert ahead <= STEPS_AHEAD + 1


@pytest.mark.parametrize(("speed", "expected"), [(0.5, 0.5), (0.8, 0.2)])
def test_a_slower_loader_shows_the_share_it_costs(speed: float, expected: float) -> None:
    assert share_waited(speed)[0] == pytest.approx(expected, abs=0.01)
