"""What stands before the server and beside it, without a server: the guard, the rate, names, and the brush."""

import asyncio
import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from epimesh.apps.server.correction import corrected, is_touched, tinted
from epimesh.apps.server.guard import Guard
from epimesh.apps.server.job import plain_name, without_paths
from epimesh.apps.server.limits import Limits
from epimesh.apps.server.rate import Rate

LIMITS = Limits(megabytes=0.001, upload_seconds=0.2, per_minute=1)


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the whole body, as those for forms do, and says how long it was."""
    length, more = 0, True
    while more:
        message = await receive()
        length, more = length + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


async def says_500_when_it_breaks(scope: Any, receive: Any, send: Any) -> None:
    """As frameworks do."""
    try:
        await reads_all(scope, receive, send)
    except Exception as error:
        await send({"type": "http.response.start", "status": 500, "headers": []})
        await send({"type": "http.response.body", "body": b"trace"})
        raise RuntimeError("already answered") from error


def asked(
    pieces: list[bytes],
    *,
    application: Any = reads_all,
    headers: Any = (),
    logins: Any = None,
    pause: float = 0.0,
    **more: Any,
) -> tuple[int, bytes]:
    """What is answered to a request that arrives in pieces."""
    sent: list[dict[str, Any]] = []
    rest = list(pieces)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause)
        return {"type": "http.request", "body": rest.pop(0) if rest else b"", "more_body": bool(rest)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/jobs", "client": ("1.2.3.4", 5), **more}
    scope["headers"] = [(b"host", b"here"), *headers]
    asyncio.run(Guard(application, LIMITS, logins or {})(scope, receive, send))
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent)


def test_a_request_within_the_limits_passes_unchanged() -> None:
    assert asked([b"ab", b"c"]) == (200, b"3")


@pytest.mark.parametrize("application", [reads_all, says_500_when_it_breaks])
def test_a_body_that_grows_too_large_or_comes_too_slowly_is_refused_as_json(application: Any) -> None:
    status, body = asked([bytes(600), bytes(600)], application=application)
    assert (status, json.loads(body)["error"]["kind"]) == (413, "TooLarge")
    status, body = asked([b"a", b"b", b"c"], application=application, pause=0.15)
    assert (status, json.loads(body)["error"]["kind"]) == (408, "TooSlow")


@pytest.mark.parametrize("length", [b"99999999", b"-1", b"many"])
def test_a_length_that_cannot_be_is_refused_before_anything_is_read(length: bytes) -> None:
    assert asked([], headers=[(b"content-length", length)])[0] == 413


@pytest.mark.parametrize(
    ("origin", "status"),
    [(b"http://here", 200), (b"http://evil.example", 403), (b"null", 403), (b"http://here.evil", 403)],
)
def test_only_our_own_pages_may_post(origin: bytes, status: int) -> None:
    assert asked([b"x"], headers=[(b"origin", origin)])[0] == status


@pytest.mark.parametrize("login", [b"", b"Basic", b"Basic !!", b"Bearer x", b"Basic " + base64.b64encode(b"ann:wrong")])
def test_without_the_right_password_only_the_health_is_told(login: bytes) -> None:
    headers = [(b"authorization", login)]
    assert asked([b"x"], headers=headers, logins={"ann": "secret"})[0] == 401
    assert asked([b"x"], headers=headers, logins={"ann": "secret"}, path="/health", method="GET")[0] == 200
    right = [(b"authorization", b"Basic " + base64.b64encode(b"ann:secret"))]
    assert asked([b"x"], headers=right, logins={"ann": "secret"})[0] == 200


def test_an_address_has_its_visits_counted_apart_from_others() -> None:
    rate = Rate(2)
    assert [rate.allows("a"), rate.allows("a"), rate.allows("a"), rate.allows("b")] == [True, True, False, True]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("chair.jpg", "chair"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\my chair.png", "my_chair"),
        ("....jpg", "object"),
        ("\0;rm -rf.png", "rm_-rf"),
        ("椅子.png", "object"),
        ("mask.png", "object"),
        ("x" * 300 + ".png", "x" * 40),
    ],
)
def test_an_upload_names_its_results_but_no_place(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_what_a_stranger_reads_of_an_error_names_no_folder(tmp_path: Path) -> None:
    assert without_paths(f"{tmp_path}/photo is damaged, see {tmp_path}", tmp_path) == "photo is damaged, see "


def test_green_strokes_add_to_the_mask_and_red_ones_take_away(tmp_path: Path) -> None:
    mask, photo = tmp_path / "mask.png", tmp_path / "photo.png"
    Image.fromarray(np.array([[255, 255, 0, 0]] * 4, np.uint8)).save(mask)
    Image.new("RGB", (4, 4), (200, 100, 50)).save(photo)
    strokes = np.zeros((8, 8, 4), np.uint8)  # painted on a picture of another size
    strokes[:4, :2] = (213, 0, 0, 255)
    strokes[:4, 6:] = (0, 200, 83, 255)
    assert is_touched([strokes])
    assert not is_touched([np.zeros((8, 8, 4), np.uint8)])
    found = np.asarray(corrected(mask, [strokes]))
    assert found[0].tolist() == [0, 255, 0, 255]
    assert found[3].tolist() == [255, 255, 0, 0]
    shown = np.asarray(tinted(photo, mask)).astype(int)
    assert shown[0, 0].tolist() == [200, 100, 50]
    assert abs(shown[0, 3] - (130, 114, 109)).max() < 15  # pale
