"""A real Slurm on loopback: munged, slurmctld and a few slurmd, in a scratch folder, without touching /etc.

Needs root (Slurm runs jobs as their owner) and Debian's slurmctld, slurmd, slurm-client and munge.
"""

import contextlib
import getpass
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
NODES = 4
GPUS_PER_NODE = 4
PATIENCE_SECONDS = 600.0

CONF = """\
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
# cred_expire is also the wait before a requeued job starts again (120 s unless set)
AuthInfo=socket={root}/munge/sock,cred_expire=5
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool/%n
SlurmctldPidFile={root}/run/slurmctld.pid
SlurmdPidFile={root}/run/slurmd.%n.pid
SlurmctldLogFile={root}/log/slurmctld.log
SlurmdLogFile={root}/log/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=1
JobRequeue=1
KillWait=5
MinJobAge=3600
MaxArraySize=5
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=10
PartitionName=low  Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=30
PartitionName=low0 Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=0
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=100 PreemptMode=OFF
"""


def missing() -> str | None:
    """Why no Slurm can be started here, or None."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_PATH) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (apt-get install slurmctld slurmd slurm-client munge)"
    return None if os.geteuid() == 0 else "Slurm's daemons need root to run jobs"


_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Cluster:
    """A running Slurm. Clients find it through SLURM_CONF in `environment`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environment = {**os.environ, "PATH": _PATH, "SLURM_CONF": str(root / "slurm.conf")}
        for name in [name for name in self.environment if name.startswith(("SBATCH_", "SLURM_ARRAY", "SLURM_JOB"))]:
            del self.environment[name]
        self._daemons: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Bring everything up and wait until every node is idle."""
        for name in ("munge", "state", "spool", "run", "log", "dev"):
            (self.root / name).mkdir(parents=True)
        (self.root / "munge").chmod(0o711)
        key = self.root / "munge" / "key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o600)
        self._write_configuration()
        munge = self.root / "munge"
        files = [f"--{kind}-file={munge / kind}" for kind in ("key", "pid", "log", "seed")]
        self._daemon("munged", "-F", *files, f"--socket={munge / 'sock'}")
        self.wait_until((munge / "sock").exists, "munge's socket")
        self._daemon("slurmctld", "-D", "-f", str(self.root / "slurm.conf"))
        self.wait_until(lambda: " UP" in self.call("scontrol", "ping", check=False), "slurmctld")
        for node in range(1, NODES + 1):
            self._daemon("slurmd", "-D", "-N", f"n{node}", "-f", str(self.root / "slurm.conf"))
        states = ("sinfo", "--noheader", "--Node", "--partition=main", "--format=%T")
        self.wait_until(lambda: self.call(*states).split() == ["idle"] * NODES, "the nodes")

    def stop(self) -> None:
        """End all jobs and daemons, the last started first."""
        with contextlib.suppress(subprocess.SubprocessError):
            self.call("scancel", "--user", getpass.getuser(), check=False)
            idle = ("squeue", "--noheader", "--states=RUNNING,COMPLETING,CONFIGURING")
            with contextlib.suppress(TimeoutError):
                self.wait_until(lambda: not self.call(*idle, check=False).strip(), "the jobs' end", seconds=15)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def call(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        """A client's stdout; every call has a time limit, because clients hang where a daemon is gone."""
        done = subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=60)
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}{done.stdout}")
        return done.stdout

    def field(self, job: str, name: str) -> str:
        """A field of `scontrol show job`, e.g. JobState or ExitCode."""
        for word in self.call("scontrol", "-o", "show", "job", job).split():
            if word.startswith(f"{name}="):
                return word.partition("=")[2]
        raise AssertionError(f"job {job} has no {name}")

    def state(self, job: str) -> str:
        """The job's state, e.g. RUNNING."""
        return self.field(job, "JobState")

    def wait_for(self, job: str, *states: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Return when the job is in one of `states`."""
        self.wait_until(lambda: self.state(job) in states, f"job {job} to be {' or '.join(states)}", seconds=seconds)

    def wait_until(self, condition: Callable[[], bool], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Poll a condition; TimeoutError with the daemons' last words when it does not come true."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [str(daemon.args[0]) for daemon in self._daemons if daemon.poll() is not None]  # type: ignore[index]
            if dead or time.monotonic() > deadline:
                logs = [log.read_text().splitlines()[-10:] for log in sorted((self.root / "log").iterdir())]
                tail = "\n".join(line for log in logs for line in log)
                raise TimeoutError(f"waited {seconds:.0f} s for {what}; daemons gone: {dead}\n{tail}")
            time.sleep(0.05)  # between two polls of another program; no result depends on it

    def _daemon(self, *command: str) -> None:
        with open(self.root / "log" / f"{command[0]}.{len(self._daemons)}.out", "wb") as log:
            self._daemons.append(subprocess.Popen(command, env=self.environment, stdout=log, stderr=log))

    def _write_configuration(self) -> None:
        ports = _free_ports(NODES + 1)
        host = socket.gethostname()
        nodes = "\n".join(
            f"NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=8 RealMemory=8000 "
            f"Gres=gpu:{GPUS_PER_NODE} State=UNKNOWN"
            for node, port in enumerate(ports[1:], start=1)
        )
        text = CONF.format(root=self.root, host=host, user=getpass.getuser(), ports=ports, nodes=nodes)
        (self.root / "slurm.conf").write_text(text)
        for gpu in range(GPUS_PER_NODE):  # "GPUs": character devices, copies of /dev/null
            os.mknod(self.root / "dev" / f"gpu{gpu}", 0o666 | 0o020000, os.makedev(1, 3))
        gres = f"NodeName=n[1-{NODES}] Name=gpu File={self.root}/dev/gpu[0-{GPUS_PER_NODE - 1}]\n"
        (self.root / "gres.conf").write_text(gres)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as probes:
        ports = []
        for _ in range(count):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """A started cluster in a scratch folder; it is stopped and its folder removed whatever happens."""
    root = Path(tempfile.mkdtemp(prefix="slurm-"))
    root.chmod(0o711)  # munged wants its socket's folders passable for everybody, unlike pytest's
    cluster = Cluster(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root, ignore_errors=True)
