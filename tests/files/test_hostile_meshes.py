"""Mesh files of strangers: bounded, checked, and refused with a sentence; one bad file ends no other's work."""

import io
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from epimesh.errors import BadInput
from epimesh.files.meshes import bounds, read_mesh

CUBE = trimesh.creation.box()


def glb(path: Path, mesh: trimesh.Trimesh = CUBE) -> Path:
    path.write_bytes(mesh.export(file_type="glb"))
    return path


def test_a_triangle_of_a_corner_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = glb(tmp_path / "cube.glb")
    content = path.read_bytes()
    first = CUBE.faces.astype(np.uint32).tobytes()
    assert content.count(first) == 1
    path.write_bytes(content.replace(first, first[:-4] + np.uint32(7_000).tobytes()))
    with pytest.raises(BadInput, match=r"cube.glb"):
        read_mesh(path)


def test_a_texture_of_gigabytes_in_a_small_file_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    packed = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(packed, format="PNG")
    assert len(packed.getvalue()) < 500_000
    picture = Image.open(io.BytesIO(packed.getvalue()))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture)
    piece = trimesh.Trimesh(CUBE.vertices, CUBE.faces, process=False)
    piece.visual = trimesh.visual.TextureVisuals(uv=np.zeros((8, 2)), material=material)
    with pytest.raises(BadInput, match="megapixels"):
        bounds._check_piece(tmp_path / "cube.glb", "cube", piece)


def test_a_scene_of_endless_instances_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "MOST_PARTS", 10)
    scene = trimesh.Scene(CUBE)
    for _ in range(12):
        scene.graph.update(frame_to=f"copy {_}", frame_from="world", geometry=next(iter(scene.geometry)))
    (tmp_path / "many.glb").write_bytes(scene.export(file_type="glb"))
    with pytest.raises(BadInput, match="parts"):
        read_mesh(tmp_path / "many.glb")


def test_a_texture_comment_that_leaves_the_folder_prints_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CUBE.export(file_type="ply", encoding="ascii").decode()
    header = text.replace("format ascii 1.0\n", "format ascii 1.0\ncomment TextureFile ../../../etc/passwd\n")
    (tmp_path / "cube.ply").write_text(header)
    assert len(read_mesh(tmp_path / "cube.ply").faces) == 12
    assert "Traceback" not in capsys.readouterr().err
