"""The server over HTTP, as strangers meet it: a real process, the smallest honest stages, and bad requests."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tiny_stages
from PIL import Image

pytest.importorskip("gradio", reason="needs the extra: pip install 'epimesh[app]'")
import httpx  # comes with gradio
from server_process import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    started = Server(tmp_path_factory.mktemp("server"), "--max-megabytes", "1", "--per-minute", "10000")
    yield started
    started.close()
    assert list(started.temporary.iterdir()) == []  # nothing of anybody is left


def test_a_photo_becomes_files_and_no_folder_of_the_server_is_named(server: Server) -> None:
    sent = server.post(name="../../my ball.png", formats="glb,stl", seed="3")
    assert sent.status_code == 202
    job = server.until(sent.json()["id"], "done", "failed")
    assert job["message"] == ""
    assert {"my_ball.glb", "my_ball.stl", "my_ball.webp", "run.json", "cutout.png"} <= set(job["files"])
    assert server.http.get(job["files"]["my_ball.glb"]).content[:4] == b"glTF"
    report = server.http.get(job["files"]["run.json"])
    assert report.json()["seed"] == 3
    assert str(server.temporary) not in report.text


def test_the_server_says_how_it_is_and_what_it_offers(server: Server) -> None:
    health = server.http.get("/health").json()
    assert health["ok"] is True
    assert health["waiting"] == 0
    assert server.http.get("/api/presets").json()["presets"] == ["tiny", "slow"]


def test_the_page_is_there(server: Server) -> None:
    page = server.http.get("/")
    assert page.status_code == 200
    assert "from one photo of an object to a textured mesh" in page.text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"preset": "../../etc/passwd"}, "There is no preset"),
        ({"preset": "volume"}, "Expected one of: tiny, slow"),
        ({"elevation": "up"}, "degrees from -90 to 90"),
        ({"elevation": "nan"}, "degrees from -90 to 90"),
        ({"seed": "-1"}, "whole number"),
        ({"formats": "glb,exe"}, "Cannot write exe"),
        ({"device": "cuda"}, "Unknown parts of the form: device"),
        ({"decode": "os.system"}, "Unknown parts of the form: decode"),
    ],
)
def test_a_form_that_asks_for_what_is_not_offered_is_refused(server: Server, words: dict[str, str], said: str) -> None:
    answer = server.post(**words)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]


def bomb() -> bytes:
    """A small PNG that says it has 900 megapixels."""
    from io import BytesIO
    from zlib import crc32

    file = BytesIO()
    Image.new("RGB", (1, 1)).save(file, format="PNG")
    content = bytearray(file.getvalue())
    content[16:24] = (30000).to_bytes(4, "big") * 2
    content[29:33] = crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\nreboot\n", "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (bomb(), "too large"),
    ],
    ids=["nothing", "script", "drawing", "bomb"],
)
def test_what_is_no_photo_is_refused_without_a_path_or_a_trace(server: Server, content: bytes, said: str) -> None:
    answer = server.post(content)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert str(server.temporary) not in answer.text
    assert "Traceback" not in answer.text


def test_a_large_request_is_refused_while_it_arrives_said_or_unsaid(server: Server) -> None:
    assert server.post(bytes(2_000_000)).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.png"\r\n\r\n'
        for _ in range(40):
            yield bytes(100_000)

    try:
        answer = server.http.post(
            "/api/jobs", content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert answer.status_code == 413
    except httpx.TransportError:  # the connection was closed before all was sent, which is as good
        pass
    assert server.http.get("/health").json()["ok"] is True


def test_requests_of_other_sites_and_to_other_names_are_refused(server: Server) -> None:
    foreign = server.http.post("/api/jobs", headers={"origin": "http://evil.example"}, files={"photo": b"x"})
    assert (foreign.status_code, foreign.json()["error"]["kind"]) == (403, "NotAllowed")
    assert server.http.get("/health", headers={"host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("name", ["..%2f..%2fphoto", "photo", "config.yaml", "%00"])
def test_only_results_can_be_fetched(server: Server, name: str) -> None:
    job = server.until(server.post().json()["id"], "done")
    assert server.http.get(f"/api/jobs/{job['id']}/files/{name}").status_code == 404


def test_a_running_photo_can_be_cancelled_and_the_next_one_is_made(server: Server) -> None:
    slow = server.post(preset="slow").json()["id"]
    waiting = server.post(preset="slow").json()["id"]
    server.until(slow, "running")
    assert server.http.get(f"/api/jobs/{waiting}").json()["place"] == 1
    assert server.http.delete(f"/api/jobs/{waiting}").json()["state"] == "cancelled"
    assert server.http.delete(f"/api/jobs/{slow}").json()["state"] == "cancelled"
    assert server.until(server.post().json()["id"], "done", "failed")["state"] == "done"


def workers_of(server: Server) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_text()
            except OSError:
                continue
            if parent == server.process.pid and "spawn_main" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker in /proc")
def test_a_killed_worker_costs_a_second_try_and_not_the_photo(server: Server) -> None:
    (quick,) = [server.post().json()["id"]]
    server.until(quick, "done")
    slow = server.post(preset="slow").json()["id"]
    server.until(slow, "running")
    (worker,) = workers_of(server)
    os.kill(worker, 9)
    for _ in range(600):
        if (again := workers_of(server)) and again != [worker]:
            break
        time.sleep(0.1)
    assert again != [worker]
    assert server.http.get(f"/api/jobs/{slow}").json()["state"] == "running"
    server.http.delete(f"/api/jobs/{slow}")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="counts files in /proc")
def test_two_hundred_requests_eight_at_once_leave_memory_and_files_as_they_were(server: Server) -> None:
    def used() -> tuple[int, int]:
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        files = len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))
        return int(status.partition("VmRSS:")[2].split()[0]) // 1024, files

    def request(number: int) -> int:
        with httpx.Client(base_url=server.url, timeout=120) as http:
            if number % 2:
                return http.get("/health").status_code
            return http.post("/api/jobs", files={"photo": bytes(200_000)}).status_code

    request(0)
    before = used()
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(request, range(200)))
    time.sleep(0.5)
    after = used()
    print(f"memory {before[0]} -> {after[0]} MB, open files {before[1]} -> {after[1]}")  # noqa: T201
    assert sorted(set(codes)) == [200, 400]
    assert after[0] - before[0] < 60
    assert after[1] - before[1] < 10


def test_a_slow_flooding_or_unknown_client_is_refused_and_the_queue_has_an_end(tmp_path: Path) -> None:
    logins = tmp_path / "logins"
    logins.write_text("ann:secret\n")
    logins.chmod(0o600)
    options = (
        "--api-only",
        "--per-minute",
        "4",
        "--max-waiting",
        "2",
        "--upload-timeout",
        "1",
        "--keep-minutes",
        "0.02",
    )
    server = Server(tmp_path, "--login", str(logins), *options)
    try:
        assert server.http.get("/api/presets").status_code == 401
        assert server.http.get("/health").status_code == 200
        assert httpx.get(f"{server.url}/api/presets", auth=("ann", "wrong")).status_code == 401
        server.http.auth = ("ann", "secret")
        assert _half_sent(server) == 408
        assert [server.post(preset="slow").status_code for _ in range(4)][:2] == [202, 202]
        codes = [server.post(preset="slow").status_code for _ in range(3)]
        assert set(codes) <= {429, 503}
        assert server.http.get("/").status_code == 404
    finally:
        server.close()
    assert list(server.temporary.iterdir()) == []


def _half_sent(server: Server) -> int:
    """What is answered to somebody who begins a request and then waits."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        lines = ["POST /api/jobs HTTP/1.1", f"Host: {host}:{port}", "Authorization: Basic YW5uOnNlY3JldA=="]
        lines += ["Content-Type: multipart/form-data; boundary=x", "Content-Length: 1000", "", "--x"]
        connection.sendall("\r\n".join(lines).encode())
        return int(connection.recv(1000).split()[1])


def test_results_are_forgotten_after_a_while(tmp_path: Path) -> None:
    from epimesh.apps.server.jobs import JobQueue
    from epimesh.apps.server.limits import Limits, NotHere

    (tmp_path / "tiny.yaml").write_text(tiny_stages.PRESET)
    Image.new("RGB", (64, 48), "white").save(tmp_path / "ball.png")
    jobs = JobQueue(tmp_path / "jobs", Limits(keep_minutes=0.001))
    try:
        given = (tmp_path / "ball.png").read_bytes()
        job = jobs.submit(given, name="a.png", owner="me", settings=[f"--preset={tmp_path / 'tiny.yaml'}"])
        jobs.cancel(job)
        for _ in range(100):
            if not job.folder.exists():
                break
            time.sleep(0.1)
        with pytest.raises(NotHere, match="no such job"):
            jobs.find(job.id)
        assert not job.folder.exists()
    finally:
        jobs.close()


def test_without_gradio_the_command_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['gradio'] = None; from epimesh.cli import main; sys.exit(main(['serve']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "pip install 'epimesh[app]'" in done.stderr


def test_a_list_of_logins_that_others_can_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from epimesh.cli import main

    logins = tmp_path / "logins"
    logins.write_text("ann:secret\n")
    logins.chmod(0o644)
    assert main(["serve", "--login", str(logins)]) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert json.dumps("secret") not in capsys.readouterr().err
