"""The ring that the device reads: no slot is written, and nothing is unpinned, while a copy out of it is under way."""

from types import SimpleNamespace

import pytest
import torch

from harness.measure.data.loader.ring import Ring


class Copy:
    """A copy that passes when somebody waits for it."""

    def __init__(self, told: list[str], name: str) -> None:
        self.told, self.name, self.passed = told, name, False

    def query(self) -> bool:
        return self.passed

    def synchronize(self) -> None:
        self.passed = True
        self.told.append(self.name)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of a CUDA runtime that does as it is told."""
    told: list[str] = []
    runtime = SimpleNamespace(
        cudaError=SimpleNamespace(success=0),
        cudaHostRegister=lambda *_: told.append("register") or 0,
        cudaHostUnregister=lambda *_: told.append("unregister"),
    )
    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    return told


def test_a_slot_is_taken_again_after_its_copy(told: list[str]) -> None:
    ring = Ring(2, 12)
    first, second = ring.take(), ring.take()
    ring.give(first, Copy(told, "first"))
    ring.give(second)
    assert (ring.take(), told) == (first, ["first"])
    assert (ring.take(), told) == (second, ["first"])


def test_memory_is_unpinned_after_the_copies_out_of_it(told: list[str]) -> None:
    """A loader may end by an error, of a worker or by Ctrl-C, with copies on their way."""
    ring = Ring(2, 12)
    ring.pin()
    for name in ("one", "two"):
        ring.give(ring.take(), Copy(told, name))
    ring.unpin()
    assert told == ["register", "one", "two", "unregister"]


def test_memory_that_cannot_be_pinned_is_told_and_cudas_error_is_taken_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CUDA keeps it: the next call, of somebody who does not know, would raise it."""
    kept = ["host register failed"]
    runtime = SimpleNamespace(cudaError=SimpleNamespace(success=0), cudaHostRegister=lambda *_: 1)

    def ask(*_: object, **__: object) -> None:
        if kept:
            raise RuntimeError(kept.pop())

    monkeypatch.setattr(torch.cuda, "cudart", lambda: runtime)
    monkeypatch.setattr(torch, "zeros", ask)
    ring = Ring(1, 12)
    ring.pin()
    assert (ring.pinned, kept) == (False, [])
    assert "batches are staged instead" in caplog.text
