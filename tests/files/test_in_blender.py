"""Mesh files in the real Blender. EPIMESH_BPY names a Python of its own venv, where the wheel bpy is installed."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_export import finely_cut
from test_mesh_files import signpost

from epimesh.files.meshes import ExportSettings, write_mesh

JUDGE = Path(__file__).parent / "blender_judge.py"
pytestmark = pytest.mark.slow


def judged(picture: Path, *files: Path) -> dict[str, dict]:
    python = os.environ.get("EPIMESH_BPY")
    if python is None:
        pytest.skip("EPIMESH_BPY names no Python with bpy, the wheel of Blender")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [python, str(JUDGE), str(picture), *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=550, check=False)
    assert "JUDGED " in ran.stdout, ran.stderr[-2000:]
    return json.loads(ran.stdout.partition("JUDGED ")[2])


def test_blender_shows_every_format_upright_with_one_front_and_its_name(tmp_path: Path) -> None:
    suffixes = [".glb", ".gltf", ".obj", ".ply", ".stl", *([".usd", ".usdz"] if find_spec("pxr") else [])]
    for suffix in suffixes:
        write_mesh(signpost(), tmp_path / f"post{suffix}")
    found = judged(tmp_path / "front.png", *(tmp_path / f"post{suffix}" for suffix in suffixes))
    for suffix, seen in found.items():
        np.testing.assert_allclose(seen["low"], [-0.3, -0.2, -0.5], atol=1e-5, err_msg=suffix)
        np.testing.assert_allclose(seen["high"], [0.3, 0.2, 0.5], atol=1e-5, err_msg=suffix)
        assert seen["name"] == "post", suffix
        assert seen["triangles"] == 12
        assert seen["open_edges"] == 0
        assert seen["volume"] > 0  # outside is outside
    assert found[".glb"]["images"] == [{"name": "post_texture", "size": [192, 32], "packed": True}]
    pixels = np.asarray(Image.open(tmp_path / "front.png").convert("RGB")).astype(int)
    assert pixels[140, 128, 0] > 120  # the red side that the photo saw, from Blender's front
    assert pixels[140, 128, 1:].max() < 60


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_blender_reads_small_textures_and_heights(kind: str, tmp_path: Path) -> None:
    settings = ExportSettings(texture_format=kind, height=0.12, origin="ground")  # type: ignore[arg-type]
    write_mesh(finely_cut(), tmp_path / "ball.glb", settings)
    seen = judged(tmp_path / "ball.png", tmp_path / "ball.glb")[".glb"]
    np.testing.assert_allclose([seen["low"][2], seen["high"][2]], [0, 0.12], atol=1e-5)
    assert [(image["size"], image["packed"]) for image in seen["images"]] == [([256, 256], True)]
    assert seen["open_edges"] == 0
