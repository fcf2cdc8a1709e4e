import os
import socket

import pytest

from harness.record import provenance
from harness.record.units import FLOPS_PER_MAC, macs_to_flops, paper_pflop, paper_tfs_days


def test_only_the_allow_list_enters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-value-that-must-not-leak")
    found = provenance.segment(device_name="cpu", world_size=1, threads=2)
    assert set(found) == {
        "commit", "dirty", "python", "packages", "device_name", "cpu_model", "world_size", "threads", "started_utc",
    }  # fmt: skip
    text = str(found)
    assert "a-secret-value" not in text
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
    assert os.getcwd() not in text
    assert found["packages"]["numpy"]


def test_units_of_the_published_table() -> None:
    # AlexNet's row: 90 epochs of 1.28e6 images at 0.77 GMAC is 266.1 "PFLOP" and 3.08 tfs-days.
    forward_macs = 90 * 1.28e6 * 0.77e9
    assert paper_pflop(forward_macs) == pytest.approx(266.1, abs=0.05)
    assert paper_tfs_days(forward_macs) == pytest.approx(3.08, abs=0.005)
    assert macs_to_flops(5) == 5 * FLOPS_PER_MAC == 10
