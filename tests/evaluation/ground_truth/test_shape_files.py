"""Which way is up in a mesh file: decided by a stated rule, and by hand where that rule does not fit."""

from pathlib import Path

import pytest
import torch
import trimesh

from epimesh.errors import BadInput
from epimesh.evaluation.ground_truth.shape_files import in_unit_frame, off_standard, read_shape
from epimesh.files.meshes import write_mesh
from epimesh.mesh import Mesh


def signpost() -> trimesh.Trimesh:
    """A box from the origin, 1 along x, 2 along y, 3 along z: its sides tell the axes apart."""
    return trimesh.creation.box([1, 2, 3]).apply_translation([0.5, 1, 1.5])


def corner(path: Path, up: str = "auto") -> list[float]:
    """The far corner of the signpost after reading."""
    return read_shape(path, up).mesh.vertices.amax(0).tolist()


@pytest.mark.parametrize("suffix", ["glb", "obj"])
def test_glb_and_obj_are_y_up_with_their_front_towards_the_photo(tmp_path: Path, suffix: str) -> None:
    signpost().export(tmp_path / f"post.{suffix}")
    # The file's y (2 long) becomes z, its z (3 long, the front) becomes x, its x becomes y.
    assert corner(tmp_path / f"post.{suffix}") == [3, 1, 2]
    assert read_shape(tmp_path / f"post.{suffix}").up == "y"
    assert corner(tmp_path / f"post.{suffix}", "z") == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["glb", "obj", "ply", "stl"])
def test_what_epimesh_writes_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    post = Mesh(torch.tensor(signpost().vertices).float(), torch.tensor(signpost().faces).long())
    write_mesh(post, tmp_path / f"post.{suffix}")
    assert corner(tmp_path / f"post.{suffix}") == [1, 2, 3]


@pytest.mark.parametrize("suffix", ["ply", "stl", "off"])
def test_point_and_print_files_are_z_up(tmp_path: Path, suffix: str) -> None:
    signpost().export(tmp_path / f"post.{suffix}")
    assert corner(tmp_path / f"post.{suffix}") == [1, 2, 3]
    assert corner(tmp_path / f"post.{suffix}", "y") == [3, 1, 2]


def test_a_glb_that_a_manifest_names_is_z_up_and_its_neighbour_is_not(objects: Path) -> None:
    assert read_shape(objects / "glb" / "chest.glb").up == "z"
    signpost().export(objects / "glb" / "stranger.glb")
    assert read_shape(objects / "glb" / "stranger.glb").up == "y"


def test_a_turn_is_kept_right_handed(tmp_path: Path) -> None:
    signpost().export(tmp_path / "post.glb")
    mesh = read_shape(tmp_path / "post.glb").mesh
    outward = mesh.vertices[mesh.faces].mean(1) - mesh.vertices.mean(0)
    assert bool(((mesh.face_normals() * outward).sum(-1) > 0).all())


@pytest.mark.parametrize(
    ("name", "words"),
    [("nothing.ply", "There is no file"), ("notes.txt", "not a mesh file by its name"), ("half.glb", "cannot be read")],
)
def test_files_that_are_no_meshes_are_refused(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "notes.txt").write_text("a list")
    signpost().export(tmp_path / "half.glb")
    (tmp_path / "half.glb").write_bytes((tmp_path / "half.glb").read_bytes()[:300])
    with pytest.raises(BadInput, match=words):
        read_shape(tmp_path / name)
    with pytest.raises(BadInput, match="auto, y, z"):
        read_shape(tmp_path / name, "x")


def test_points_without_triangles_are_refused(tmp_path: Path) -> None:
    trimesh.PointCloud([[0, 0, 0], [1, 1, 1]]).export(tmp_path / "points.ply")
    with pytest.raises(BadInput, match=r"points\.ply"):
        read_shape(tmp_path / "points.ply")


def test_both_meshes_move_together_into_the_unit_frame(tmp_path: Path) -> None:
    signpost().export(tmp_path / "truth.ply")
    signpost().apply_scale(1.1).export(tmp_path / "larger.ply")
    truth, larger = (read_shape(tmp_path / f"{name}.ply").mesh for name in ("truth", "larger"))
    assert off_standard(truth) == "longest side 3, centre (0.5, 1, 1.5)"
    moved, other = in_unit_frame(truth, larger)
    assert off_standard(moved) is None
    torch.testing.assert_close(moved.vertices.amax(0), torch.tensor([1, 2, 3]) / 6)
    # The larger one keeps its size and place relative to the truth.
    torch.testing.assert_close(other.vertices.amin(0), moved.vertices.amin(0))
    torch.testing.assert_close(other.vertices.amax(0), torch.tensor([1, 2, 3]) * (1.1 / 3 - 1 / 6))
