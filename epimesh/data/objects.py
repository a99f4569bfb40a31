"""A folder of objects with a manifest: which files there are, how they are split, and who must be attributed."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

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

    Raises:
        BadInput: the file cannot be read or holds no triangles.
    """
    import trimesh

    try:
        scene = trimesh.load(path, force="mesh", process=False)
        vertices, faces = np.asarray(scene.vertices), np.asarray(scene.faces)
        uv, texture = _texture(scene)
    except Exception as error:  # broken files make trimesh raise anything
        raise BadInput(f"{path} cannot be read as a mesh ({error}).\nExpected a GLB file.") from error
    if len(faces) == 0 or not np.isfinite(vertices).all():
        raise BadInput(f"{path} holds {len(faces)} triangles or non-finite positions.\nExpected a mesh.")
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(faces).long(), uv=uv, texture=texture)


def _texture(scene: object) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Texture coordinates with v down, and the base colour image."""
    visual = getattr(scene, "visual", None)
    picture = getattr(getattr(visual, "material", None), "baseColorTexture", None)
    if picture is None or getattr(visual, "uv", None) is None:
        return None, None
    uv = torch.from_numpy(np.array(visual.uv)).float()  # type: ignore[union-attr]
    uv[:, 1] = 1 - uv[:, 1]  # trimesh flips v when it reads
    texture = torch.from_numpy(np.array(picture.convert("RGB"))).float().permute(2, 0, 1) / 255
    return uv, texture
