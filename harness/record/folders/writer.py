"""Writing a run folder: append-only or whole-and-renamed, so that what is on disk can always be trusted or resumed."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.record import curve
from harness.record.curve import Evaluation
from harness.record.files import cannot_write, write_atomic
from harness.record.folders.folder import CONFIG, CURVE, JOURNAL, PROVENANCE, STATE, TRANSIENT, is_finished, seal
from harness.record.folders.lock import RunLock
from harness.record.provenance import utc_now

_JOURNAL_BYTES = 16


class RunWriter:
    """The one writer of a run folder, which is locked from `claim` until `close`."""

    def __init__(self, folder: Path) -> None:
        """Create the folder where it is missing."""
        self.folder = folder
        self._lock: RunLock | None = None
        self._journal: int | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise cannot_write(folder, error) from error

    def claim(self) -> bool:
        """Lock the folder; False when another process has finished the run meanwhile. Raises RunLocked."""
        self._lock = RunLock(self.folder).__enter__()
        return not is_finished(self.folder)

    def verify(self) -> None:
        """Raise RunLocked when another process has taken the run over (see `RunLock.verify`)."""
        if self._lock is not None:
            self._lock.verify()

    def open(self, *, config: str, segment: Mapping[str, Any], overrides: list[str]) -> None:
        """Begin the record or continue it; `segment` (see provenance.segment) joins those of earlier starts.

        Raises HarnessError where the folder cannot be written.
        """
        write_atomic(self.folder / CONFIG, config)
        segments = [*self._provenance().get("segments", []), dict(segment)]
        self._write_json(PROVENANCE, {"overrides": overrides, "segments": segments})
        path = self.folder / JOURNAL
        try:
            self._journal = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise cannot_write(path, error) from error

    def append(self, row: Evaluation) -> None:
        """Add an evaluation to the curve."""
        self.verify()
        curve.append(self.folder / CURVE, row)

    def cut_back(self, step: int) -> None:
        """Forget the evaluations after `step`: they will be done again."""
        curve.keep_until(self.folder / CURVE, step)

    def rows(self) -> list[Evaluation]:
        """The curve so far."""
        path = self.folder / CURVE
        return curve.read_curve(path) if path.exists() else []

    def note_macs(self, done_macs: int) -> None:
        """Note after every step what has been spent: it outlives a killed process and costs a microsecond."""
        assert self._journal is not None
        os.pwrite(self._journal, done_macs.to_bytes(_JOURNAL_BYTES, "little"), 0)

    def noted_macs(self) -> int:
        """What the journal last noted, in MACs; 0 for a fresh run."""
        assert self._journal is not None
        return int.from_bytes(os.pread(self._journal, _JOURNAL_BYTES, 0), "little")

    def state(self, state: str, **facts: Any) -> None:
        """Replace state.json, what `harness status` shows of an unfinished run: running, interrupted or failed."""
        self._write_json(STATE, {"state": state, "updated_utc": utc_now(), **facts})

    def fail(self, why: str, **known: Any) -> None:
        """Leave the run open with the reason in state.json; how far it was stays there, else what is `known`."""
        path = self.folder / STATE
        before = json.loads(path.read_bytes()) if path.exists() else {}
        self._write_json(STATE, {**known, **before, "state": "failed", "updated_utc": utc_now(), "error": why})

    def finish(self, summary: dict[str, Any]) -> None:
        """Seal the record and remove what only an unfinished run needs."""
        self.verify()
        (self.folder / CURVE).touch()  # a run that diverged before its first evaluation has an empty curve
        self._write_json(PROVENANCE, {**self._provenance(), "finished_utc": utc_now()})
        seal(self.folder, summary)
        for name in TRANSIENT:
            (self.folder / name).unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Release the journal and the lock."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None
        if self._lock is not None:
            self._lock.__exit__(None, None, None)
            self._lock = None

    def _provenance(self) -> dict[str, Any]:
        path = self.folder / PROVENANCE
        return json.loads(path.read_bytes()) if path.exists() else {}

    def _write_json(self, name: str, data: Mapping[str, Any]) -> None:
        write_atomic(self.folder / name, json.dumps(data, indent=1, allow_nan=False) + "\n")
