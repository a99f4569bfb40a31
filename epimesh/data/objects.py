"""A folder of objects with a manifest: which files there are, how they are split, and who must be attributed."""

import csv
from dataclasses import dataclass
from pathlib import Path

from epimesh.data.glb_parts import read_parts
from epimesh.data.one_texture import joined
from epimesh.errors import BadInput
from epimesh.mesh import Mesh

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
    with manifest.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise BadInput(f"{manifest} has the columns {sorted(rows[0]) if rows else []}.\nExpected at least {_COLUMNS}.")
    chosen = [row for row in rows if split is None or row["split"] == split]
    if not chosen:
        splits = sorted({row["split"] for row in rows})
        raise BadInput(f"{manifest} has no object with split '{split}'.\nExpected one of: {', '.join(splits)}.")
    return [_record(row, folder) for row in chosen]


def _record(row: dict[str, str], folder: Path) -> ObjectRecord:
    return ObjectRecord(
        id=row["id"],
        path=folder / row["file"],
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
    except Exception as error:  # broken files make trimesh raise anything
        raise BadInput(f"{path} cannot be read as a mesh ({error}).\nExpected a GLB file.") from error
    if mesh is None or not mesh.vertices.isfinite().all():
        raise BadInput(f"{path} holds {count} triangles or non-finite positions.\nExpected a mesh.")
    return mesh
