"""A lock on a run folder: one writer, on any host, and a crashed writer does not block the next.

Two signs of life are combined. The kernel's lock on the file ends with its process, so on one host (and across hosts
where the file system carries locks) it is exact. Where it is carried no further than one host, the holder's heartbeat
counts: it touches the file, and a lock from elsewhere not touched for `STALE_SECONDS` belongs to nobody.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.record.errors import RunLocked
from harness.record.files import cannot_write
from harness.record.folders.folder import LOCK
from harness.record.folders.sweep import job_id

HEARTBEAT_SECONDS = 15.0
STALE_SECONDS = 90.0
"""Six missed heartbeats; also the usual lease after which an NFS server forgets a dead client's locks."""

CLOCK_SLACK_SECONDS = 5.0
"""By how much a file system's clock may lag behind the kernel's."""

PREDECESSOR_SECONDS = 60.0

NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)


@dataclass(frozen=True)
class Holder:
    """Who writes a run: a process of a host since its boot; its Slurm job, if it has one, and that job's restarts."""

    host: str
    boot: str
    pid: int
    job: str | None
    restarts: int
    token: str

    @classmethod
    def me(cls) -> "Holder":
        """This process."""
        boot = Path("/proc/sys/kernel/random/boot_id")
        return cls(
            host=socket.gethostname(),
            boot=boot.read_text(encoding="utf-8").strip() if boot.exists() else "",
            pid=os.getpid(),
            job=job_id(os.environ),
            restarts=int(os.environ.get("SLURM_RESTART_COUNT", "0")),
            token=secrets.token_hex(8),
        )

    def is_followed_by(self, other: "Holder") -> bool:
        """True when `other` is a later start of the same job: Slurm runs only one of the two."""
        return self.job is not None and self.job == other.job and self.restarts < other.restarts

    @property
    def name(self) -> str:
        """For messages: "process 4711 on node7 (Slurm job 12_3)"."""
        return f"process {self.pid} on {self.host}" + (f" (Slurm job {self.job})" if self.job else "")


class RunLock:
    """Context manager; entering raises RunLocked, naming the holder, when another process writes the run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        self._me = Holder.me()
        self._file = -1
        self._released = threading.Event()
        self._give_up_at = time.monotonic() + PREDECESSOR_SECONDS

    def __enter__(self) -> "RunLock":
        try:
            while not self._take():
                time.sleep(1)  # an earlier start of this very job is on its way out
        except OSError as error:
            self._close()
            raise cannot_write(self.path, error) from error
        except RunLocked:
            self._close()
            raise
        self._pulse = threading.Thread(target=self._beat, name="run-lock", daemon=True)
        self._pulse.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._pulse.join()
        # Where the folder cannot be written any more the file stays: a lock without a holder blocks nobody.
        with contextlib.suppress(OSError):
            if self._is_mine():
                self.path.unlink(missing_ok=True)  # while still held: nobody can have taken this file meanwhile
        self._close()

    def verify(self) -> None:
        """Raise RunLocked when another host took the run over, which it may after a long suspension of this one."""
        if not self._is_mine():
            raise RunLocked(f"{self.path.parent}: taken over by {_name(read_holder(self.path))}; this process stops")

    def _take(self) -> bool:
        """True when the lock is ours; False when it is worth another try."""
        while True:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                carried = self._lock_file()
            except RunLocked as refusal:
                if not self._predecessor_is_leaving():
                    raise refusal
                self._close()
                return False
            if self._same_file():
                break
            self._close()  # its holder removed it between our open and our lock: start over with the new file
        holder = _parse(os.pread(self._file, 4096, 0))
        if holder is not None and not self._is_gone(holder, carried):
            raise self._locked(holder)
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(asdict(self._me)).encode(), 0)
        os.fsync(self._file)
        return True

    def _predecessor_is_leaving(self) -> bool:
        """A requeued job may start before Slurm has killed its predecessor, for KillWait plus a little."""
        holder = _parse(os.pread(self._file, 4096, 0))
        return holder is not None and holder.is_followed_by(self._me) and time.monotonic() < self._give_up_at

    def _lock_file(self) -> bool:
        """True when the kernel's lock was given; False when this file system has none."""
        try:
            # A POSIX lock, because a flock would live on in forked loader workers after a SIGKILL of the trainer.
            # Its price: this process must not open and close the file a second time, which would drop it.
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise self._locked(_parse(os.pread(self._file, 4096, 0))) from error
            if error.errno not in NO_LOCKS_HERE:
                raise
            return False
        return True

    def _is_gone(self, holder: Holder, carried: bool) -> bool:
        if carried and (holder.host, holder.boot) == (self._me.host, self._me.boot):
            return True  # on this host the kernel's word is final
        if holder.is_followed_by(self._me):
            return True
        return self._silence_seconds() > STALE_SECONDS

    def _same_file(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def _is_mine(self) -> bool:
        if self._file < 0 or not self._same_file():
            return False
        holder = _parse(os.pread(self._file, 4096, 0))
        return holder is not None and holder.token == self._me.token

    def _locked(self, holder: Holder | None) -> RunLocked:
        seconds = max(0, round(self._silence_seconds()))
        return RunLocked(
            f"{self.path.parent}: {_name(holder)} is writing this run (last sign of life {seconds} s ago); "
            f"wait for it or stop it. A dead one on another host is replaced after {STALE_SECONDS:.0f} s"
        )

    def _silence_seconds(self) -> float:
        """Seconds since the last heartbeat, both ends by the file system's clock: hosts' clocks differ.

        Of the open file, not of its path: a holder that ends at this moment removes the path.
        """
        probe = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")
        try:
            probe.touch()
            return probe.stat().st_mtime - os.fstat(self._file).st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT_SECONDS):
            # A beat that the file system refuses is a missed beat: the next may pass, and `verify` has the last word.
            with contextlib.suppress(OSError):
                if not self._is_mine():
                    return
                os.utime(self._file)

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def read_holder(path: Path) -> Holder | None:
    """Who holds the lock file `path`; None when nobody does or its line is not whole yet."""
    try:
        return _parse(path.read_bytes())
    except FileNotFoundError:
        return None


def seems_alive(folder: Path) -> bool:
    """A guess for display, without touching the lock: its holder runs on this host, or was heard of lately."""
    holder, me = read_holder(folder / LOCK), Holder.me()
    if holder is None:
        return False
    if (holder.host, holder.boot) == (me.host, me.boot):
        return _runs_since(holder.pid, folder / LOCK)
    try:
        return time.time() - (folder / LOCK).stat().st_mtime <= STALE_SECONDS
    except FileNotFoundError:  # let go since its line was read
        return False


def _runs_since(pid: int, lock: Path) -> bool:
    """Whether process `pid` of this host lives and is no younger than the last sign of life: numbers are used again."""
    try:
        # of /proc/PID/stat after the name, which may hold spaces: the state first, the start in ticks since boot 20th
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return fields[0] != "Z" and begun <= lock.stat().st_mtime + CLOCK_SLACK_SECONDS
    except (OSError, IndexError, ValueError):
        return Path(f"/proc/{pid}").exists() and lock.exists()


def _parse(data: bytes) -> Holder | None:
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return None  # empty or half written: who was at it never finished taking it


def _name(holder: Holder | None) -> str:
    return "another process" if holder is None else holder.name
