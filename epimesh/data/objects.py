"""A folder of objects with a manifest: which files there are, how they are split, and who must be attributed."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from epimesh.data.glb_parts import read_parts
from epimesh.data.json_text import decoded
from epimesh.data.one_texture import joined
from epimesh.errors import BadInput
from epimesh.mesh import Mesh

_SUFFIXES = (".glb", ".gltf", ".obj", ".ply", ".stl", ".off")
_NOT_IN_NAMES = set('/\\:*?"<>|')
_LONGEST_ID = 120  # bytes; names of files built from it stay below the 255 of every file system
_COLUMNS = ("id", "file", "split", "hard", "licence", "attribution", "family", "realistic")


@dataclass(frozen=True)
class ObjectRecord:
    """One line of the manifest.

    Args:
        id: name of the object, unique.
        path: its GLB file.
        split: train, val or test.
        hard: thin or concave, a challenge for reconstruction.
        realistic: scanned or photo-textured rather than stylised.
        family: group of near duplicates; never in two splits.
        licence: SPDX name.
        attribution: whom to name.
    """

    id: str
    path: Path
    split: str
    hard: bool
    realistic: bool
    family: str
    licence: str
    attribution: str


def read_manifest(folder: Path, split: str | None = None) -> list[ObjectRecord]:
    """The objects of a folder with a `manifest.csv`, in its order.

    Args:
        folder: holds the manifest and the files it names.
        split: keep only this split.

    Raises:
        BadInput: there is no manifest, it lacks columns, or it has no object of that split.
    """
    manifest = folder / "manifest.csv"
    if not manifest.is_file():
        raise BadInput(f"There is no {manifest}.\nExpected a folder of objects with a manifest.csv of {_COLUMNS}.")
    rows = _rows(manifest)
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise BadInput(
            f"{manifest} has the columns {sorted(map(str, rows[0])) if rows else []}.\nExpected at least {_COLUMNS}."
        )
    chosen = [row for row in rows if split is None or row["split"] == split]
    if not chosen:
        splits = sorted({row["split"] for row in rows})
        raise BadInput(f"{manifest} has no object with split '{split}'.\nExpected one of: {', '.join(splits)}.")
    return [_record(row, folder) for row in chosen]


def _rows(manifest: Path) -> list[dict[str, str]]:
    try:
        with io.StringIO(decoded(manifest.read_bytes()), newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, ValueError, csv.Error) as error:
        raise BadInput(f"{manifest} cannot be read ({error}).\nExpected a table with commas, in UTF-8.") from error
    short = [number for number, row in enumerate(rows, start=2) if any(row.get(name) is None for name in _COLUMNS)]
    if rows and short and set(_COLUMNS) <= set(reader.fieldnames or ()):
        raise BadInput(
            f"Line {short[0]} of {manifest} has fewer cells than columns.\nExpected all of: {', '.join(_COLUMNS)}."
        )
    return rows


def checked_id(name: str, source: Path) -> str:
    """The name of an object, which also names files: nothing that leads out of a folder or that no system takes.

    Raises:
        BadInput: it is empty, a path, too long, or holds characters that file systems refuse.
    """
    unusable = set(name) & _NOT_IN_NAMES or any(ord(character) < 32 for character in name)
    if not name or unusable or name.strip(". ") != name.strip() or len(name.encode()) > _LONGEST_ID:
        raise BadInput(
            f"The id {name[:60]!r} in {source} cannot name a file.\n"
            f'Expected 1 to {_LONGEST_ID} characters without / \\ : * ? " < > | and without dots at its ends.'
        )
    return name


def _inside(folder: Path, file: str, source: Path) -> Path:
    """The path of a mesh that the manifest names: below its folder, of a kind that is read here.

    Raises:
        BadInput: it leads out of the folder, or has another suffix.
    """
    path = folder / file
    outside = Path(file).is_absolute() or ".." in Path(file).parts or "\0" in file
    if outside or path.suffix.lower() not in _SUFFIXES:
        raise BadInput(
            f"The file {file[:100]!r} in {source} is not a mesh below that folder.\n"
            f"Expected a path without '..', ending with one of: {', '.join(_SUFFIXES)}."
        )
    return path


def _record(row: dict[str, str], folder: Path) -> ObjectRecord:
    return ObjectRecord(
        id=checked_id(row["id"], folder / "manifest.csv"),
        path=_inside(folder, row["file"], folder / "manifest.csv"),
        split=row["split"],
        hard=row["hard"] == "1",
        realistic=row["realistic"] == "1",
        family=row["family"],
        licence=row["licence"],
        attribution=row["attribution"],
    )


def load_object(path: Path) -> Mesh:
    """The mesh of a GLB whose vertices are z up already, as they are in data sets of this layout.

    Materials keep their base colours: a file with one picture keeps it, several pictures become one.

    Raises:
        BadInput: the file cannot be read or holds no triangles.
    """
    try:
        parts = read_parts(path)
        count = sum(len(part.faces) for part in parts)
        mesh = joined(parts) if parts else None
    except BadInput:
        raise
    except Exception as error:  # broken files make trimesh raise anything
        reason = str(error)[:200] or type(error).__name__
        raise BadInput(f"{path} cannot be read as a mesh ({reason}).\nExpected a whole mesh file.") from error
    if mesh is None or not mesh.vertices.isfinite().all():
        raise BadInput(f"{path} holds {count} triangles or non-finite positions.\nExpected a mesh.")
    return mesh
