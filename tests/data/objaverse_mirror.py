"""A tiny copy of Objaverse on this machine: the same folders, served with redirects, checksums and faults on demand."""

import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from PIL import Image


class Mirror:
    """Serves `files` by path. Set the other fields to have it misbehave."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.cut_after: dict[str, list[int]] = {}  # path: bytes after which the connection breaks, one per answer
        self.fail_with: dict[str, list[int]] = {}  # path: HTTP codes, one per answer
        self.stated_sha256: dict[str, str] = {}  # path: instead of the true one
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []  # path and Range of every request
        self.server = _Server(("127.0.0.1", 0), _Handler)
        self.server.mirror = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/resolve/main"

    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def add_list(self, name: str, content: object) -> None:
        self.files[name] = gzip.compress(json.dumps(content).encode())


class _Server(ThreadingHTTPServer):
    mirror: Mirror


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_GET(self) -> None:
        path = self.path.removeprefix("/resolve/main/").removeprefix("/storage/")
        if path not in self.server.mirror.files:
            self.send_error(404, "Not Found")
        elif self.path.startswith("/resolve/main/glbs/"):  # as the data set's host does for large files
            self._redirect(path)
        else:
            self.server.mirror.asked.append((path, self.headers.get("Range")))
            if self.server.mirror.fail_with.get(path):
                self._fail(self.server.mirror.fail_with[path].pop(0))
            else:
                self._send(path, self.server.mirror.files[path], self.headers.get("Range"))

    def _fail(self, code: int) -> None:
        self.send_response(code)
        self.send_header("Retry-After", "77")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _redirect(self, path: str) -> None:
        sha256 = hashlib.sha256(self.server.mirror.files[path]).hexdigest()
        self.send_response(302)
        self.send_header("X-Linked-Etag", f'"{self.server.mirror.stated_sha256.get(path, sha256)}"')
        self.send_header("Location", f"/storage/{path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, path: str, content: bytes, wanted: str | None) -> None:
        start = (
            int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.server.mirror.knows_ranges else 0
        )
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cuts = self.server.mirror.cut_after.get(path)
        self.wfile.write(content[start : start + cuts.pop(0)] if cuts else content[start:])

    def log_message(self, *_: Any) -> None:
        pass


def glb(
    extents: tuple[float, float, float] = (2.0, 4.0, 6.0), *, move: tuple[float, float, float] = (0, 0, 0)
) -> bytes:
    """A box with a picture on it, in glTF's axes, with enough triangles to count as an object."""
    box = trimesh.creation.box(extents=extents).subdivide().subdivide().apply_translation(move)
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, roughnessFactor=0.25)
    uv = box.vertices[:, :2] / 10 + 0.5
    box.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return bytes(trimesh.Scene([box]).export(file_type="glb"))


def entry(uid: str, licence: str | None = "by", **more: Any) -> dict[str, Any]:
    """The annotation of an object, with the fields that the data set has and this package reads."""
    return {
        "uid": uid,
        "name": f"Box {uid[:4]}",
        "user": {"username": "ann", "displayName": "Ann Author"},
        "viewerUrl": f"https://example.org/{uid}",
        "license": licence,
        "tags": [{"name": "box", "slug": "box"}],
        "archives": {"glb": {"faceCount": 192, "textureCount": 1, "size": 20_000}},
        "animationCount": 0,
        "isAgeRestricted": False,
        "likeCount": 3,
        **more,
    }


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def fill(mirror: Mirror, entries: dict[str, dict[str, dict[str, Any]]]) -> None:
    """Publishes objects: part to uid to annotation. All have the same box."""
    content = glb()
    paths = {name: f"glbs/{part}/{name}.glb" for part, members in entries.items() for name in members}
    mirror.add_list("object-paths.json.gz", paths)
    for part, members in entries.items():
        mirror.add_list(f"metadata/{part}.json.gz", members)
    mirror.files.update(dict.fromkeys(paths.values(), content))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
