"""A server in a process of its own, with the smallest honest stages, for tests of all who talk to it."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import tiny_stages
from PIL import Image

SLOW = """
from dataclasses import dataclass
import time
from tiny_stages import Ball

@dataclass(frozen=True, kw_only=True)
class SlowBall(Ball):
    seconds: float = 60.0
    def __call__(self, views, photo, *, runtime):
        for _ in runtime.reporter.track(range(600), "waiting", 600):
            time.sleep(self.seconds / 600)
        return super().__call__(views, photo, runtime=runtime)
"""


class Server:
    """A server in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        (folder / "tiny.yaml").write_text(tiny_stages.PRESET)
        (folder / "slow_stages.py").write_text(SLOW)
        (folder / "slow.yaml").write_text(tiny_stages.PRESET.replace("tiny_stages.Ball", "slow_stages.SlowBall"))
        Image.new("RGB", (64, 48), "white").save(folder / "ball.png")
        self.photo = (folder / "ball.png").read_bytes()
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        python_path = [str(folder), str(Path(tiny_stages.__file__).parent), *sys.path]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(python_path), "TMPDIR": str(self.temporary)}
        command = [
            sys.executable,
            "-m",
            "epimesh",
            "serve",
            "--port",
            "0",
            "--offer",
            "tiny.yaml",
            "--offer",
            "slow.yaml",
        ]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                [*command, *options], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url, (folder / "log").read_text()
        self.http = httpx.Client(base_url=self.url, timeout=120)

    def post(self, content: bytes | None = None, name: str = "ball.png", **words: str) -> httpx.Response:
        files = {"photo": (name, self.photo if content is None else content)}
        return self.http.post("/api/jobs", files=files, data=words)

    def until(self, job: str, *states: str) -> dict[str, Any]:
        for _ in range(2400):
            found = self.http.get(f"/api/jobs/{job}").json()
            if found["state"] in states:
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait(60)
