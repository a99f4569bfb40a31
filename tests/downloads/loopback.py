"""A hub on the loopback interface: lists repositories, serves their files in ranges, and can be told to misbehave."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


@dataclass(eq=False)
class Hub:
    """Repositories by name, each with the content of its files; and what goes wrong."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    stalled: set[str] = field(default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str]] = field(default_factory=list)
    address: str = ""

    def fetched(self) -> list[str]:
        """Names of the files of which content was asked for."""
        return [path.rpartition("/resolve/")[2].partition("/")[2] for path, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path).strip("/")
        if path.startswith("api/models/"):
            self._list(path.removeprefix("api/models/"))
        else:
            repository, _, rest = path.partition("/resolve/")
            self._file(repository, rest.partition("/")[2], body)

    def _list(self, path: str) -> None:
        name = "/".join(path.split("/")[:2])
        files = self.hub.repositories.get(name)
        if files is None:
            self._refuse(404, "RepoNotFound")
            return
        if "/tree/" in path:
            self._json([{"type": "file", "oid": "0", "path": one, **_size(files[one])} for one in files])
            return
        siblings = [{"rfilename": one, "blobId": "0", **_size(files[one])} for one in files]
        self._json({"id": name, "sha": COMMIT, "siblings": siblings, "private": False, "tags": [], "downloads": 0})

    def _json(self, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _refuse(self, code: int, name: str) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", name)
        self.send_header("X-Error-Message", name)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _file(self, repository: str, name: str, body: bool) -> None:
        content = self.hub.repositories.get(repository, {}).get(name)
        if content is None:
            self._refuse(404, "EntryNotFound")
            return
        if repository in self.hub.gated:
            self._refuse(403, "GatedRepo")
            return
        sha256 = hashlib.sha256(content).hexdigest()
        if name in self.hub.changed:
            content = content[:-1] + bytes([content[-1] ^ 1])
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
        part = content[first:]
        self.send_response(206 if "Range" in self.headers else 200)
        for header, value in (
            ("X-Repo-Commit", COMMIT),
            ("ETag", f'"{sha256}"'),
            ("X-Linked-Etag", f'"{sha256}"'),
            ("X-Linked-Size", str(len(content))),
            ("Accept-Ranges", "bytes"),
            ("Content-Length", str(len(part))),
        ):
            self.send_header(header, value)
        if "Range" in self.headers:
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if body:
            self.hub.asked.append((f"{repository}/resolve/main/{name}", self.headers.get("Range", "")))
            self._send(name, part)

    def _send(self, name: str, part: bytes) -> None:
        half = len(part) // 2
        self.wfile.write(part[:half])
        self.wfile.flush()
        if name in self.hub.stalled:
            self.hub.released.wait(200)
        self.wfile.write(part[half:])


def _size(content: bytes) -> dict[str, object]:
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 1}
    return {"size": len(content), "lfs": {**lfs, "oid": lfs["sha256"]}}
