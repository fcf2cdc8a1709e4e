"""`harness prepare` in processes of its own: two at once, killed workers, a full disk, what may not be entered."""

import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.measure.data.store import files as store
from harness.measure.data.store import pack
from harness.measure.data.store.manifest import open_manifest
from harness.record.errors import BadInput, HarnessError
from harness.record.folders.folder import LOCK
from tests import forked
from tests.forked import PIPE, Forked
from tests.measure.data.conftest import WNIDS, encoded, picture
from tests.measure.data.loading import SIDE, digest, evaluation, load

PATIENCE_SECONDS = 300
"""Long, for a machine with much else to do; nothing that works takes so long."""


def slow_tree(root: Path) -> Path:
    """Two classes; a training image takes most of a second to decode and resize."""
    rng = np.random.default_rng(0)
    large = encoded(Image.fromarray(rng.integers(0, 256, (3000, 4000, 3), dtype=np.uint8)), "PNG", compress_level=1)
    for wnid in WNIDS[:2]:
        for split, images in (("train", 4), ("val", 2)):
            (root / split / wnid).mkdir(parents=True)
            for i in range(images):
                data = large if split == "train" else encoded(picture(i, 80, 80))
                (root / split / wnid / f"{wnid}_{i}.JPEG").write_bytes(data)
    return root


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return slow_tree(tmp_path_factory.mktemp("slow"))


def start(tree: Path, out: Path) -> Forked:
    words = ["prepare", "data=imagenet", f"data.root={tree}", f"--out={out}", "--workers=1", "--short-side=64"]
    code = (
        "import sys; from harness import cli; from harness.measure.data.store import files; "
        "files.MIN_IMAGES_PER_SHARD = 3; sys.exit(cli.main(sys.argv[1:]))"
    )
    return Forked(["-c", code, *words, f"data.resolution={SIDE}"], stderr=PIPE)


def wait_for(condition: Callable[[], bool], process: Forked) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_the_second_of_two_at_once_is_refused_and_harms_nothing(slow: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = start(slow, out)
    wait_for(lambda: any(out.glob(".train-000*.tmp")), first)
    first.send_signal(signal.SIGSTOP)  # so that it is not done before the second has started
    second = start(slow, out)
    _, said = second.communicate()
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1
    last = said.strip().splitlines()[-1]
    assert f"{out}: process {first.pid} on " in last
    assert "is preparing this set; wait for it or stop it" in last
    assert first.poll() is None
    assert first.wait() == 0
    assert store.verify(out) > 0
    assert not (out / LOCK).exists()
    data = load(out, "prepared", pixels="jpeg64")
    assert digest(evaluation(data)) == digest(evaluation(load(slow)))


def test_a_killed_one_is_resumed(slow: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = start(slow, out)
    wait_for((out / "train-000.npz").exists, first)
    whole = (out / "train-000.bin").stat().st_ino
    first.kill()
    first.wait()
    second = start(slow, out)
    assert second.wait() == 0
    assert (out / "train-000.bin").stat().st_ino == whole
    assert sorted(path.suffix for path in out.iterdir() if path.name.startswith(".")) == []
    assert store.verify(out) > 0


def test_a_killed_worker_is_told_in_one_line(slow: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(slow, out)
    wait_for(lambda: any(out.glob(".train-000*.tmp")), process)
    for child in children(process.pid):
        os.kill(child, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 1
    assert "Traceback" not in said
    assert "a worker was killed, most likely for lack of memory: lower --workers" in said.strip().splitlines()[-1]
    assert start(slow, out).wait() == 0


@pytest.mark.parametrize("name", ["train.npy", store.HEADER])
def test_a_full_disk_at_the_index_or_header_is_told_in_one_line(own_tree: Path, tmp_path: Path, name: str) -> None:
    """The kernel's own "no space left on device"; the same command resumes."""
    out, pid = tmp_path / "out", os.getpid()
    source, packing = planned(own_tree)

    def fill(_: int) -> None:
        if not os.path.lexists(out / f".{name}.{pid}.tmp"):
            (out / f".{name}.{pid}.tmp").symlink_to("/dev/full")

    with pytest.raises(HarnessError, match=f"cannot write {out / name}: No space left on device") as caught:
        pack.pack(out, packing, source, workers=1, advance=fill)
    assert "\n" not in str(caught.value)
    pack.pack(out, packing, source, workers=1, advance=lambda _: None)
    assert store.verify(out) > 0


def test_a_shard_that_cannot_be_written_is_told_in_one_line(own_tree: Path, tmp_path: Path) -> None:
    """A worker meets a limit of the system."""
    out = tmp_path / "out"
    source, packing = planned(own_tree)
    with pytest.raises(HarnessError, match=r"cannot write .*/out/\w+-000.bin: File too large") as caught:
        _with_file_limit(6000, lambda: pack.pack(out, packing, source, workers=1, advance=lambda _: None))
    assert "\n" not in str(caught.value)
    pack.pack(out, packing, source, workers=1, advance=lambda _: None)
    assert store.verify(out) > 0


def planned(tree: Path) -> tuple[pack.ToPack, store.Packing]:
    """What is to be packed, at small sizes."""
    words = ["data=imagenet", f"data.root={tree}", f"data.resolution={SIDE}"]
    return pack.choose(words, short_side=64, encoding="jpeg", quality=90, square=False)


def _with_file_limit(size: int, act: Callable[[], None]) -> None:
    """Files of this process and its children may hold so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        act()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def _told(send: object, act: Callable[[], object], user: int | None) -> None:
    if user is not None:
        os.setgid(user)
        os.setuid(user)
    try:
        act()
        send.send("nothing was wrong")  # type: ignore[attr-defined]
    except HarnessError as error:
        send.send(f"{type(error).__name__}: {error}")  # type: ignore[attr-defined]
    except BaseException as error:  # noqa: BLE001  (what is to be found)
        send.send(f"not told in one line: {error!r}")  # type: ignore[attr-defined]


def told(act: Callable[[], object], *, user: int | None = None) -> str:
    """What a forked process says of an action, as another user where this one is root."""
    if user is not None and os.getuid() != 0:
        pytest.skip("needs root to become another user")
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_told, args=(send, act, user))
    process.start()
    message = receive.recv()
    process.join()
    assert "\n" not in message
    return str(message)


@pytest.fixture
def closed(tmp_path_factory: pytest.TempPathFactory, own_tree: Path) -> Path:
    """A folder of somebody else's, with a tree and a store in it. Everybody may reach it, nobody enter it."""
    base = Path("/tmp") / f"harness-closed-{os.getpid()}"
    shutil.rmtree(base, ignore_errors=True)
    base.mkdir(mode=0o700)
    shutil.copytree(own_tree, base / "tree")
    yield base
    shutil.rmtree(base)


NOBODY = 65534


def test_a_root_that_may_not_be_entered(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    for root in (closed, closed / "tree"):
        assert "cannot be read (Permission denied)" in told(lambda root=root: open_manifest(root), user=NOBODY)


def test_a_store_that_may_not_be_entered(closed: Path) -> None:
    for folder in (closed, closed / "store"):
        assert "cannot be read (Permission denied)" in told(lambda f=folder: store.read_header(f), user=NOBODY)


def test_an_out_that_may_not_be_entered(closed: Path, own_tree: Path) -> None:
    source, packing = planned(own_tree)
    for out in (closed / "out", closed / "deeper" / "out"):
        for act in (
            lambda out=out: pack.is_packed(out, packing),
            lambda out=out: pack.pack(out, packing, source, workers=1, advance=lambda _: None),
        ):
            assert "(Permission denied): choose another --out" in told(act, user=NOBODY)


def test_no_home_folder(closed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME", raising=False)
    closed.chmod(0o755)
    said = told(lambda: open_manifest(closed / "tree"), user=54321)
    assert said.startswith("BadInput: there is no home folder for the manifest of data.root: set XDG_CACHE_HOME")


def test_too_few_open_files_for_a_store(own_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine shards and a hard limit of a few files more than are open."""
    monkeypatch.setattr(store, "MIN_IMAGES_PER_SHARD", 1)
    source, packing = planned(own_tree)
    pack.pack(tmp_path / "out", packing, source, workers=1, advance=lambda _: None)

    def opened(hard: int | None) -> str:
        def act() -> None:
            in_use = {int(name) for name in os.listdir("/proc/self/fd")}
            free = [number for number in range(4096) if number not in in_use]
            resource.setrlimit(resource.RLIMIT_NOFILE, (free[6], hard or free[6]))
            load(tmp_path / "out", "prepared", pixels="jpeg64")

        return told(act)

    assert "do not fit into `ulimit -n`" in opened(None)
    assert opened(4096) == "nothing was wrong"  # a soft limit is raised


def test_a_class_name_that_is_not_utf8(own_tree: Path) -> None:
    for split in ("train", "val"):
        os.rename(own_tree / split / WNIDS[0], os.fsencode(own_tree / split) + b"/caf\xe9")
    with pytest.raises(BadInput, match=r"the class name 'caf\\udce9' cannot be printed: rename that class"):
        open_manifest(own_tree)


@pytest.mark.parametrize("what", ["zeros", "another shard"])
def test_a_shard_of_the_right_size_and_wrong_bytes_is_noticed_at_opening(
    own_tree: Path, tmp_path: Path, what: str
) -> None:
    out = tmp_path / "out"
    source, packing = planned(own_tree)
    pack.pack(out, packing, source, workers=1, advance=lambda _: None)
    shard = out / "train-000.bin"
    size = shard.stat().st_size
    shard.write_bytes(bytes(size) if what == "zeros" else os.urandom(size))
    with pytest.raises(BadInput, match=rf"{shard} holds other bytes than prepared.json says"):
        load(out, "prepared", pixels="jpeg64")


SHARED_MEMORY = {"read-only": "ro", "no file more": "nr_inodes=1"}
"""/dev/shm as containers and full machines have it: options of a tmpfs that is mounted there."""


MOUNTED = """
import ctypes, subprocess, sys
from harness.cli import entry

CLONE_NEWNS = 0x20000  # linux/sched.h: mount points of its own
assert ctypes.CDLL(None).unshare(CLONE_NEWNS) == 0
for command in ("mount --make-rprivate /", f"mount -t tmpfs -o {sys.argv.pop(1)} none /dev/shm"):
    subprocess.run(command.split(), check=True)
entry()
"""


def without_shared_memory(how: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """A verb in a mount namespace of its own, where /dev/shm takes nothing."""
    mount = f"mount -t tmpfs -o {SHARED_MEMORY[how]} none /dev/shm"
    if subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("needs a mount namespace (root, or CAP_SYS_ADMIN)")
    return forked.run(["-c", MOUNTED, SHARED_MEMORY[how], *words], timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize("how", SHARED_MEMORY)
def test_prepare_without_shared_memory_says_so_in_one_line(own_tree: Path, tmp_path: Path, how: str) -> None:
    words = ["prepare", "data=imagenet", f"data.root={own_tree}", f"--out={tmp_path / 'out'}", "--short-side=64"]
    done = without_shared_memory(how, [*words, f"data.resolution={SIDE}", "--workers=1"])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "/dev/shm must be writable" in done.stderr.strip().splitlines()[-1]
    assert not (tmp_path / "out" / store.HEADER).exists()


@pytest.mark.parametrize("how", SHARED_MEMORY)
def test_train_without_shared_memory_says_so_in_one_line_and_needs_none_without_workers(
    own_tree: Path, tmp_path: Path, how: str
) -> None:
    words = ["train", "data=imagenet", f"data.root={own_tree}", "model=shufflenet_v2_x1_0", "recipe=small"]
    words += ["recipe.batch_size=4", "budget.epochs=1", "evaluations_per_epoch=1", "target=none", "device=cpu"]
    words += ["threads=1", f"data.resolution={SIDE}", f"out={tmp_path / 'runs'}"]
    done = without_shared_memory(how, [*words, "data.workers=1"])
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "a /dev/shm that can be written; correct that, or pass data.workers=0" in last
    assert not list((tmp_path / "runs").rglob("run.json"))
    assert without_shared_memory(how, [*words, "data.workers=0"]).returncode == 0
    assert len(list((tmp_path / "runs").rglob("run.json"))) == 1
