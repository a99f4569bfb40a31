"""A batch on a real Ray cluster of two nodes (two raylets on this machine) that lose a worker and then a node."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny_stages
from PIL import Image

ray_cluster = pytest.importorskip("ray.cluster_utils", reason="needs the extra: pip install 'epimesh[ray]'")
pytestmark = pytest.mark.slow

PHOTOS = 10
SLOW = """
import time
from dataclasses import dataclass
from tiny_stages import Ball

@dataclass(frozen=True, kw_only=True)
class SlowBall(Ball):
    def __call__(self, views, photo, *, runtime):
        time.sleep(1.5)
        return super().__call__(views, photo, runtime=runtime)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos, and stages that every node can import."""
    paths = [str(tmp_path), str(Path(tiny_stages.__file__).parent), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow_ball.py").write_text(SLOW)
    (tmp_path / "slow.yaml").write_text(tiny_stages.PRESET.replace("tiny_stages.Ball", "slow_ball.SlowBall"))
    (tmp_path / "photos").mkdir()
    for number in range(PHOTOS):
        Image.new("RGB", (32, 32), (20 * number,) * 3).save(tmp_path / f"photos/{number}.png")
    return tmp_path


@pytest.fixture
def cluster(folder: Path) -> Iterator[Any]:
    """Two nodes; the first one is the head."""
    started = ray_cluster.Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield started
    started.shutdown()


def outcomes(folder: Path) -> list[dict[str, Any]]:
    manifest = folder / "meshes/manifest.jsonl"
    return [json.loads(line) for line in manifest.read_text().splitlines()] if manifest.is_file() else []


def until(folder: Path, count: int, process: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    for _ in range(3000):
        found = outcomes(folder)
        if len(found) >= count or process.poll() is not None:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{len(found)} of {count} photos after five minutes")


def test_every_photo_is_there_once_and_as_a_single_run_makes_it_though_a_worker_and_a_node_are_lost(
    folder: Path, cluster: Any
) -> None:
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    command = [sys.executable, "-m", "epimesh", "batch", "photos", "--out", "meshes", "--preset", "slow.yaml"]
    command += ["--address", cluster.address, "--workers", "2", "--threads-per-worker", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    early = until(folder, 2, process)
    os.kill(int(early[0]["worker"].rpartition(" ")[2]), signal.SIGKILL)
    until(folder, 5, process)
    cluster.remove_node(second)
    said, told = process.communicate(timeout=500)
    assert process.returncode == 0, told
    assert said.startswith(f"{PHOTOS} made, 0 were there, 0 failed")

    made = outcomes(folder)
    assert sorted(one["name"] for one in made) == sorted(str(number) for number in range(PHOTOS))
    assert any(one["tries"] > 1 for one in made)
    assert len({one["worker"].partition(" ")[0] for one in made}) == 2
    single = subprocess.run(
        [sys.executable, "-m", "epimesh", "run", "photos/7.png", "--preset", "slow.yaml", "--out", "single/7"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert single.returncode == 0, single.stderr
    assert (folder / "single/7/7.glb").read_bytes() == (folder / "meshes/7/7.glb").read_bytes()


def test_a_cluster_that_is_not_there_is_told_with_what_starts_one(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from epimesh.cli import main

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert main(["batch", "photos", "--out", "meshes", "--preset", "slow.yaml", "--address", "auto"]) == 2
    assert "ray start --head" in capsys.readouterr().err
