"""Talks to `epimesh serve`, with nothing but Python's own library, so that any program's Python can use it."""

import base64
import json
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SERVER = "http://127.0.0.1:7860"
_PAUSE = 0.5  # seconds between two looks at a job
_PATIENCE = 60.0  # seconds for one answer


class ServerError(Exception):
    """The server cannot be reached, or said no; the message says which."""


class Client:
    """One server.

    Args:
        server: its address, as `epimesh serve` prints it.
        login: NAME:PASSWORD, if the server wants one.
    """

    def __init__(self, server: str = SERVER, login: str = "") -> None:
        if not server.startswith(("http://", "https://")):
            raise ServerError(f"'{server}' is no address of a server.\nExpected, for instance, {SERVER}")
        self._server = server.rstrip("/")
        self._login = base64.b64encode(login.encode()).decode() if login else ""

    def presets(self) -> list[str]:
        """Names of what may be chosen; the first one is the default."""
        return list(self._json("GET", "/api/presets")["presets"])

    def make(
        self,
        photo: bytes,
        name: str,
        *,
        mask: bytes | None = None,
        settings: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda line: None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> dict[str, str]:
        """Sends a photo and waits for its mesh.

        Args:
            photo: content of the picture file.
            name: of the file, which also names the results.
            mask: content of a picture, white where the object is.
            settings: preset, elevation, seed, formats, as texts.
            tell: hears what is happening.
            stopped: asked again and again; if it says yes, the job is cancelled.

        Returns:
            The addresses of the results, by name.

        Raises:
            ServerError: the server is not there, refused the photo, failed, or was told to stop.
        """
        files = {"photo": (name, photo), **({"mask": ("mask.png", mask)} if mask else {})}
        kind, body = _form(files, settings or {})
        job = self._json("POST", "/api/jobs", body, {"Content-Type": kind})
        place = f"/api/jobs/{job['id']}"
        while job["state"] in ("waiting", "running"):
            if stopped():
                job = self._json("DELETE", place)
                break
            tell(_words(job))
            time.sleep(_PAUSE)
            job = self._json("GET", place)
        if job["state"] != "done":
            raise ServerError(job["message"] or "The job was cancelled.")
        return dict(job["files"])

    def fetch(self, address: str, path: Path) -> Path:
        """Writes a result to a file."""
        path.write_bytes(self._answer("GET", address))
        return path

    def _json(self, method: str, address: str, body: bytes | None = None, headers: Any = None) -> Any:
        return json.loads(self._answer(method, address, body, headers))

    def _answer(self, method: str, address: str, body: bytes | None = None, headers: Any = None) -> bytes:
        request = urllib.request.Request(self._server + address, data=body, headers=headers or {}, method=method)
        if self._login:
            request.add_header("Authorization", f"Basic {self._login}")
        try:
            with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise ServerError(_said(error)) from error
        except (OSError, ValueError) as error:
            raise ServerError(f"No epimesh server at {self._server} ({error}).\nStart one: epimesh serve") from error


def _words(job: Mapping[str, Any]) -> str:
    if job["place"]:
        return f"waiting, place {job['place']}"
    done = job["lines"][-1].split()[0] if job["lines"] else ""
    return f"{job['doing']} {job['share']:.0%}" if job["doing"] else f"after {done}" if done else "working"


def _said(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.loads(error.read())["error"]["message"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"The server answered {error.code} {error.reason}."


def _form(files: Mapping[str, tuple[str, bytes]], words: Mapping[str, str]) -> tuple[str, bytes]:
    """A multipart form: its type and its body."""
    boundary = uuid.uuid4().hex
    parts = []
    for field, text in words.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{text}\r\n'.encode())
    for field, (name, content) in files.items():
        plain = "".join(letter for letter in name if letter.isalnum() or letter in " ._-") or "photo"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{plain}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
