"""Meshes to compare, from files of any kind, with the question answered that ruins comparisons: which way is up."""

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from epimesh.data.objects import load_object
from epimesh.errors import BadInput
from epimesh.files.meshes import read_mesh
from epimesh.files.meshes.axes import from_y_up
from epimesh.files.meshes.ply_stl import wrote
from epimesh.mesh import Mesh

UPS = {
    "auto": "as `epimesh run` writes it: y for GLB, glTF and OBJ; what a PLY or STL of epimesh says of itself; z for "
    "other PLY, STL and OFF and for objects of a manifest.csv",
    "y": "+Y up and front towards +Z, as most viewers and game engines have it",
    "z": "+Z up and front towards +X: the positions as they are",
}
SUFFIXES = (".glb", ".gltf", ".ply", ".obj", ".stl", ".off")
_Y_UP = (".glb", ".gltf", ".obj")
_NO_STANDARD = 1e-2  # scene units or share of the side by which a mesh may miss the standard frame


@dataclass(frozen=True, eq=False)
class ShapeFile:
    """A mesh in the z-up world, and how its file was understood.

    Args:
        mesh: in the units of the file.
        up: "y" or "z", what the file was taken to mean.
    """

    mesh: Mesh
    up: str


def read_shape(path: Path, up: str = "auto") -> ShapeFile:
    """The mesh of a GLB, glTF, PLY, OBJ, STL or OFF file in the z-up world of `epimesh.cameras`.

    Args:
        path: the file.
        up: one of `UPS`.

    Raises:
        BadInput: the file is missing, of another kind, damaged, or holds no triangles or positions that are not finite.
    """
    if up not in UPS:
        raise BadInput(f"There is no up direction '{up}'.\nExpected one of: {', '.join(UPS)}.")
    if not path.is_file():
        raise BadInput(f"There is no file {path}.\nExpected a mesh file: {', '.join(SUFFIXES)}.")
    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(f"{path} is not a mesh file by its name.\nExpected one of: {', '.join(SUFFIXES)}.")
    if up == "auto" and path.suffix.lower() in (".ply", ".stl") and wrote(path):
        return ShapeFile(read_mesh(path), "z")
    meant = up if up != "auto" else _usual_up(path)
    mesh = load_object(path)
    return ShapeFile(replace(mesh, vertices=from_y_up(mesh.vertices)) if meant == "y" else mesh, meant)


def _usual_up(path: Path) -> str:
    return "y" if path.suffix.lower() in _Y_UP and not _in_manifest(path) else "z"


def _in_manifest(path: Path) -> bool:
    """Whether a manifest.csv beside the file, or one folder up, names it: the objects of data sets are z up."""
    whole = path.resolve()
    for folder in whole.parents[:2]:
        manifest = folder / "manifest.csv"
        if manifest.is_file():
            with manifest.open(newline="", encoding="utf-8") as file:
                if any(folder / (row.get("file") or "") == whole for row in csv.DictReader(file)):
                    return True
    return False


def off_standard(mesh: Mesh) -> str | None:
    """What sets a mesh apart from the standard frame (at the origin, longest side 1); None if nothing does."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    side, middle = float((high - low).max()), ((low + high) / 2).tolist()
    if abs(side - 1) < _NO_STANDARD and max(map(abs, middle)) < _NO_STANDARD:
        return None
    return f"longest side {side:.4g}, centre ({', '.join(f'{value:.3g}' for value in middle)})"


def in_unit_frame(truth: Mesh, prediction: Mesh) -> tuple[Mesh, Mesh]:
    """Both meshes, moved and scaled together so that the truth lies at the origin with a longest side of 1."""
    low, high = truth.vertices.amin(0), truth.vertices.amax(0)
    middle, side = (low + high) / 2, (high - low).max().clamp_min(1e-12)
    moved = [replace(mesh, vertices=(mesh.vertices - middle) / side) for mesh in (truth, prediction)]
    return moved[0], moved[1]
