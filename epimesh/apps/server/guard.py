"""What every request passes first: login, origin, size, time. Plain ASGI, so that nothing slips by."""

import asyncio
import base64
import binascii
import hmac
import json
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from epimesh.apps.server.limits import Limits, LoginNeeded, NotAllowed, Refused, TooLarge, TooMany, TooSlow
from epimesh.apps.server.rate import Rate

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_DRAINED = 8  # times the largest body, after which a request that is refused is cut off
_OPEN = ("/health",)  # for those who watch over servers
_REQUESTS_PER_PHOTO = 10  # of the page: uploads, the place in the queue, and so on


class Guard:
    """Refuses requests before the application sees them."""

    def __init__(self, application: Application, limits: Limits, logins: Mapping[str, str]) -> None:
        """`logins` are passwords by name; empty lets everybody in."""
        self._application = application
        self._limits = limits
        self._logins = logins
        self._rate = Rate(limits.per_minute * _REQUESTS_PER_PHOTO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, or says why not."""
        if scope["type"] != "http":
            return await self._application(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = _Body(receive, send, self._limits)
        try:
            self._check(scope, headers)
            await self._application(scope, body.receive, body.send)
        except Refused as refusal:
            body.refusal = refusal
        except Exception:  # what the application makes of a refusal inside it may be anything
            if body.refusal is None:
                raise
        if body.refusal is not None and not body.answered:
            await body.drain()
            await answer(send, body.refusal)
        return None

    def _check(self, scope: Scope, headers: Mapping[str, str]) -> None:
        if self._logins and scope["path"] not in _OPEN and not _knows(self._logins, headers.get("authorization", "")):
            raise LoginNeeded("A name and a password are needed.")
        origin = headers.get("origin")
        if scope["method"] not in ("GET", "HEAD") and origin and urlsplit(origin).netloc != headers.get("host"):
            raise NotAllowed("Pages of other sites may not use this server.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._limits.megabytes * 1e6:
            raise too_large(self._limits)
        if scope["method"] == "POST" and not self._rate.allows(address_of(scope)):
            raise TooMany("Too many requests within a minute.\nTry again in a minute.")


class _Body:
    """The body of a request while it arrives, and whether it was answered."""

    def __init__(self, receive: Receive, send: Send, limits: Limits) -> None:
        self._receive, self._send, self._limits = receive, send, limits
        self._bytes = 0
        self._whole = False
        self._end = time.monotonic() + limits.upload_seconds
        self.answered = False
        self.refusal: Refused | None = None

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
        except asyncio.TimeoutError:
            self.refusal = TooSlow(f"The request did not arrive within {self._limits.upload_seconds:g} seconds.")
            raise self.refusal from None
        self._bytes += len(message.get("body", b""))
        self._whole = message["type"] != "http.request" or not message.get("more_body", False)
        if self._bytes > self._limits.megabytes * 1e6:
            self.refusal = too_large(self._limits)
            raise self.refusal
        return message

    async def drain(self) -> None:
        """Lets what is on its way arrive, within bounds: most clients read no answer before they have sent all."""
        while not self._whole and self._bytes < _DRAINED * self._limits.megabytes * 1e6:
            try:
                message = await asyncio.wait_for(self._receive(), max(0.0, self._end - time.monotonic()))
            except asyncio.TimeoutError:
                return
            self._bytes += len(message.get("body", b""))
            self._whole = message["type"] != "http.request" or not message.get("more_body", False)

    async def send(self, message: Message) -> None:
        if self.refusal is None or self.answered:  # what the application says of a refused body is not sent
            self.answered = True
            await self._send(message)


async def answer(send: Send, refusal: Refused) -> None:
    """Sends a refusal as JSON."""
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    if isinstance(refusal, LoginNeeded):
        headers.append((b"www-authenticate", b'Basic realm="epimesh"'))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(as_json(refusal)).encode()})


def as_json(error: Exception) -> dict[str, Any]:
    """How errors look in answers."""
    return {"error": {"kind": type(error).__name__, "message": str(error)}}


def address_of(scope: Mapping[str, Any]) -> str:
    """Where a request comes from."""
    client = scope.get("client")
    return str(client[0]) if client else "unknown"


def too_large(limits: Limits) -> TooLarge:
    """The refusal of large requests."""
    return TooLarge(f"A request may have at most {limits.megabytes:g} MB.\nReduce the picture.")


def _knows(logins: Mapping[str, str], header: str) -> bool:
    kind, _, coded = header.partition(" ")
    try:
        name, _, password = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        return False
    right = logins.get(name, "")
    return kind.lower() == "basic" and bool(right) and hmac.compare_digest(right.encode(), password.encode())
