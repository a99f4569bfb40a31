"""Hull and NeuS give the same bits: with one and two threads, from any folder, with and without compiled code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROGRAM = """
import hashlib
import torch
from epimesh.cameras import Cameras
from epimesh.reconstruction import NeuS, VisualHull
from epimesh.runtime import Runtime
from epimesh.views import Views

cameras = Cameras.on_sphere(torch.arange(12) * 30.0, torch.tensor([20.0, -20.0] * 6), size=48)
origins, directions = (part / torch.tensor([0.45, 0.3, 0.2]) for part in cameras.rays())
a, b, c = (directions**2).sum(-1), (origins * directions).sum(-1), (origins**2).sum(-1) - 1
alpha = (b * b > a * c).float()[:, None] * 0.9
views = Views(rgb=1 - alpha * torch.tensor([0.2, 0.6, 0.7])[:, None, None], alpha=alpha, cameras=cameras)
content = hashlib.sha256()
for stage in (VisualHull(resolution=40), NeuS(resolution=40, iterations=60, rays=1024)):
    surface = stage(views, None, runtime=Runtime("cpu"))
    content.update(surface.distances.numpy().tobytes() + surface.colors.numpy().tobytes())
print(content.hexdigest())
"""


def bits(folder: Path, threads: int, cache: Path) -> str:
    given = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads), "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", PROGRAM]
    environment = {**os.environ, **given, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_threads_folders_and_compiled_code_change_no_bit(tmp_path: Path) -> None:
    """The first run of each cache compiles; the second finds it filled."""
    other = tmp_path / "another folder"
    other.mkdir()
    first = bits(tmp_path, 1, tmp_path / "cache")
    assert len(first.strip()) == 64
    assert bits(other, 1, tmp_path / "cache") == first
    assert bits(tmp_path, 2, tmp_path / "cache") == first
    assert bits(other, 2, tmp_path / "empty") == first
