"""A stand-in for the W&B server, as far as one run and its project's views need it; history by line, as there."""

import contextlib
import gzip
import http.server
import json
import re
import threading
from collections.abc import Iterator
from typing import Any


class Server(http.server.ThreadingHTTPServer):
    """What was uploaded, over all connections. history: one JSON object a line, at the offset it was sent for.

    views: what was sent of each, by name; upserts: how often one was; projects: those that there are.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.daemon_threads = True
        self.history: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}
        self.config: str = "{}"
        self.run: dict[str, Any] = {}
        self.artifacts: list[dict[str, Any]] = []
        self.overwritten = 0
        self.views: dict[str, dict[str, Any]] = {}
        self.upserts = 0
        self.projects = {"ai-efficiency"}

    @property
    def url(self) -> str:
        """Base address."""
        return f"http://127.0.0.1:{self.server_port}"

    def stream(self, files: dict[str, Any]) -> None:
        """A file_stream request: chunks of lines, each with the line number it starts at."""
        if chunk := files.get("wandb-history.jsonl"):
            for number, line in enumerate(chunk["content"], start=chunk["offset"]):
                row = json.loads(line)
                assert number <= len(self.history), "a gap in the history"
                if number < len(self.history):
                    self.overwritten += self.history[number] != row
                    self.history[number] = row
                else:
                    self.history.append(row)
        if chunk := files.get("wandb-summary.json"):
            self.summary = json.loads(chunk["content"][-1])

    def answer(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL operation; what is not known has none."""
        project = {"id": "P", "name": "project", "entity": {"id": "E", "name": "entity"}}
        if name == "RunResumeStatus":
            return {"model": {**project, "bucket": self._bucket() if self.run else None}}
        if name == "UpsertBucket":
            self.config = variables["config"] or self.config
            self.run = {**self.run, **{k: v for k, v in variables.items() if v is not None}}
            return {"upsertBucket": {"bucket": {**self._bucket(), "project": project}, "inserted": True}}
        if name == "CreateRunFiles":
            files = [{"name": f, "uploadUrl": f"{self.url}/upload/{f}"} for f in variables["files"]]
            return {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}}
        if name == "Viewer":
            return {
                "viewer": {"id": "V", "username": "user", "entity": "entity", "flags": "{}", "teams": {"edges": []}}
            }
        if name == "GetDefaultEntity":
            return {"viewer": {"id": "V", "entity": "entity"}}
        if name == "View":
            return {"project": self._views(variables["viewName"]) if variables["name"] in self.projects else None}
        if name == "UpsertView2":
            self.upserts += 1
            view = {"id": f"view {variables['name']}", **variables}
            inserted = variables["name"] not in self.views
            assert inserted == ("id" not in variables), "a view is changed under its id"
            self.views[variables["name"]] = view
            return {"upsertView": {"view": {"id": view["id"], "name": view["name"]}, "inserted": inserted}}
        if name == "CreateArtifact":
            self.artifacts.append(variables)
            made = {"id": "A", "state": "COMMITTED", "artifactSequence": {"id": "S", "latestArtifact": None}}
            return {"createArtifact": {"artifact": made}}
        if name == "ArtifactType":
            return {"project": None}
        return {}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A mirror that is killed drops its connections; that is what these tests do."""

    def _views(self, name: str) -> dict[str, Any]:
        """The project's views of that name, as the query `View` asks for them."""
        found = [self.views[name]] if name in self.views else []
        return {"allViews": {"edges": [{"node": {k: v[k] for k in ("id", "displayName", "spec")}} for v in found]}}

    def _bucket(self) -> dict[str, Any]:
        return {
            "id": "R", "name": self.run.get("name"), "displayName": self.run.get("displayName"), "description": None,
            "sweepName": None, "notes": None, "tags": self.run.get("tags") or [], "config": self.config,
            "summaryMetrics": json.dumps(self.summary), "historyLineCount": len(self.history), "eventsLineCount": 0,
            "logLineCount": 0, "eventsTail": "[]", "wandbConfig": json.dumps({"t": 1}),
            "historyTail": json.dumps([json.dumps(row) for row in self.history[-1:]]),
        }  # fmt: skip


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def _body(self) -> bytes:
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(data) if self.headers.get("Content-Encoding") == "gzip" else data

    def _reply(self, document: dict[str, Any]) -> None:
        data = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/graphql":
            asked = json.loads(body)
            named = re.search(r"(?:query|mutation)\s+(\w+)", asked["query"])
            self._reply({"data": self.server.answer(named[1] if named else "", asked.get("variables") or {})})
            return
        if self.path.endswith("/file_stream"):
            self.server.stream(json.loads(body).get("files") or {})
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    def do_GET(self) -> None:
        self._reply({})

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def wandb_server() -> Iterator[Server]:
    """A running stand-in on loopback."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
