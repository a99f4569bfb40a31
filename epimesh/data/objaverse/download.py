"""Downloads a file whole or not at all: goes on where it was stopped, tries again, and checks size and checksum."""

import hashlib
import http.client
import re
import time
import urllib.error
import urllib.request
from email.message import Message
from pathlib import Path
from typing import Any

from epimesh.errors import BadInput

ATTEMPTS = 4
_TIMEOUT_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 600.0
_BLOCK = 1 << 20
_TEMPORARY = (408, 425, 429, 500, 502, 503, 504)
_LENGTHS = re.compile(r"bytes (\d+)-\d+/(\d+)")
# Hugging Face's storage states the checksum of a large file with this header, before it redirects to the file itself.
_SHA256_HEADER = "X-Linked-Etag"


class _Incomplete(Exception):
    """What arrived is not the whole file."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the checksum that one of them states."""

    def __init__(self) -> None:
        self.sha256: str | None = None

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        self.sha256 = _stated_sha256(headers) or self.sha256
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(url: str, path: Path, *, pause_seconds: float = 1.0) -> None:
    """Makes the file `path`, unless it is there. What has arrived waits in `.NAME.part` until the file is complete.

    Args:
        url: http or https.
        path: where the file goes; its folder is made.
        pause_seconds: before the second attempt; doubled before every further one.

    Raises:
        BadInput: the file is not there, or could not be had whole in several attempts; the message says why.
    """
    if path.is_file():
        return
    if not url.startswith(("https://", "http://")):
        raise BadInput(f"{url} is no web address.\nExpected one that begins with https:// or http://.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    for attempt in range(ATTEMPTS):
        try:
            _append_rest(url, part)
        except (OSError, http.client.HTTPException, _Incomplete) as error:
            problem, wait = str(error) or type(error).__name__, _asked_wait(error)
        else:
            part.replace(path)
            return
        if wait is None:
            break
        if attempt + 1 < ATTEMPTS:
            time.sleep(max(wait, pause_seconds * 2**attempt))
    raise BadInput(
        f"{url} could not be downloaded: {problem}.\nCheck the connection and run the same command again: it goes on."
    )


def _asked_wait(error: Exception) -> float | None:
    """Seconds that a server asks to wait after an error; None if trying again is in vain."""
    if not isinstance(error, urllib.error.HTTPError):
        return 0.0
    if error.code not in _TEMPORARY:
        return None
    seconds = error.headers.get("Retry-After", "")
    return min(float(seconds), _LONGEST_WAIT_SECONDS) if seconds.isdecimal() else 0.0


def _append_rest(url: str, part: Path) -> None:
    """Fetches what `part` lacks, and leaves it complete and checked."""
    have = part.stat().st_size if part.is_file() else 0
    redirects = _Redirects()
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        answer = urllib.request.build_opener(redirects).open(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # nothing lies beyond what is there: it was complete but unchecked, or is another file's
            part.unlink()
            raise _Incomplete("what had arrived before does not fit the file") from error
        raise
    with answer:
        start, total = _range(answer.status, answer.headers)
        if start not in (0, have):
            part.unlink()
            raise _Incomplete("the server sent another part of the file")
        with part.open("ab" if start else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
    size = part.stat().st_size
    if total is not None and size < total:
        raise _Incomplete(f"only {size} of {total} bytes arrived")
    sha256 = _stated_sha256(answer.headers) or redirects.sha256
    if (total is not None and size > total) or (sha256 is not None and _sha256(part) != sha256):
        part.unlink()
        raise _Incomplete(f"{size} bytes arrived that do not have the size or checksum the server states")


def _range(status: int, headers: Message) -> tuple[int, int | None]:
    """Where in the file the answer begins, and how long the whole file is, if stated."""
    if status == 206:
        found = _LENGTHS.fullmatch(headers.get("Content-Range", ""))
        if found is None:
            raise _Incomplete("the server does not say which part of the file it sends")
        return int(found[1]), int(found[2])
    length = headers.get("Content-Length")
    return 0, int(length) if length is not None else None


def _stated_sha256(headers: Message) -> str | None:
    tag = headers.get(_SHA256_HEADER, "").strip('"').lower()
    return tag if re.fullmatch(r"[0-9a-f]{64}", tag) else None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
