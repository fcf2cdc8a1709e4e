"""A W&B server that nobody here wrote: the package openwandb, as a process of its own on loopback, kept in SQLite."""

import contextlib
import http.cookiejar
import importlib.util
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ABSENT = importlib.util.find_spec("openwandb") is None
KEY, USER, PASSWORD = "local" + "0" * 40, "admin", "admin123"
"""What the package itself makes in an empty data folder."""

PATIENCE_SECONDS = 300
"""Long, for a machine with much else to do; only a server that has failed takes so long."""


@dataclass(frozen=True)
class OpenWandb:
    """A running server."""

    url: str

    def ask(self, path: str) -> Any:
        """What it answers to its own user at an address below /api."""
        request = urllib.request.Request(f"{self.url}/api/{path}", headers={"X-WANDB-API-KEY": KEY})
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)

    def history(self, run_id: str, name: str) -> dict[int, float]:
        """One metric of a run by step. The server appends whatever comes, so a request that is repeated shows twice."""
        rows = self.ask(f"v2/runs/{run_id}/metrics?key={name}")["metrics"]
        return {row["step"]: row["value"] for row in rows}

    def run(self, run_id: str) -> dict[str, Any]:
        """What it knows of a run: state, config, summary, tags."""
        return dict(self.ask(f"v2/runs/{run_id}")["run"])

    def cookie(self) -> tuple[str, str]:
        """Name and value of the cookie of somebody who has logged in."""
        words = json.dumps({"username": USER, "password": PASSWORD}).encode()
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        request = urllib.request.Request(f"{self.url}/api/v2/auth/login", words, {"Content-Type": "application/json"})
        opener.open(request, timeout=PATIENCE_SECONDS).close()
        (cookie,) = jar
        assert cookie.value is not None
        return cookie.name, cookie.value


@contextlib.contextmanager
def openwandb(folder: Path) -> Iterator[OpenWandb]:
    """The server with its data below `folder`. It is handed a bound socket: whoever asks early waits in its queue."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB_", "OPENWANDB_"))}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening, open(folder / "server.log", "wb") as log:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        server = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "openwandb.server:app", "--fd", str(listening.fileno())],
            cwd=folder,
            env={**kept, "HOME": str(folder), "OPENWANDB_DATA_DIR": str(folder / "data")},
            pass_fds=(listening.fileno(),),
            stdout=log,
            stderr=log,
        )
    try:
        running = OpenWandb(url)
        running.ask("v1/viewer")
        yield running
    finally:
        server.kill()
        server.wait()
