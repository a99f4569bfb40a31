"""Bounds on what a mesh file of strangers may ask for, checked before anything large is made of it."""

import logging
from pathlib import Path
from typing import Any

from epimesh.errors import BadInput

MOST_PARTS = 5_000  # pieces of a scene, instances counted each
MOST_FACES = 20_000_000
MOST_MEGAPIXELS = 70.0  # of one texture: 8192 x 8192


def loaded_scene(path: Path) -> Any:
    """The scene in a file, as trimesh reads it. Whatever is wrong with the file makes trimesh raise errors of any kind.

    Raises:
        BadInput: it has more parts, triangles or pixels than any object needs, or triangles of corners that are not
            there.
    """
    import trimesh

    logging.getLogger("trimesh").setLevel(logging.CRITICAL)  # it logs tracebacks of what it leaves out
    scene = trimesh.load_scene(path, process=False)
    parts = len(scene.graph.nodes_geometry)
    if parts > MOST_PARTS:
        raise BadInput(f"{path} has {parts} parts, expected at most {MOST_PARTS}.\nJoin them in a 3D program.")
    faces = sum(len(getattr(scene.geometry[scene.graph[node][1]], "faces", ())) for node in scene.graph.nodes_geometry)
    if faces > MOST_FACES:
        raise BadInput(f"{path} has {faces} triangles, expected at most {MOST_FACES}.\nSimplify it in a 3D program.")
    for name, piece in scene.geometry.items():
        _check_piece(path, str(name), piece)
    return scene


def _check_piece(path: Path, name: str, piece: Any) -> None:
    faces = getattr(piece, "faces", None)
    if faces is not None and len(faces) and not 0 <= faces.min() <= faces.max() < len(piece.vertices):
        raise BadInput(
            f"The part '{name[:60]}' of {path} has a triangle of corner {int(faces.max())}, but {len(piece.vertices)} "
            "corners.\nIt is damaged: export it again."
        )
    material = getattr(getattr(piece, "visual", None), "material", None)
    for kind in ("baseColorTexture", "image"):
        picture = getattr(material, kind, None)
        if picture is not None and picture.size[0] * picture.size[1] > MOST_MEGAPIXELS * 1e6:
            raise BadInput(
                f"{path} has a texture of {picture.size[0]} x {picture.size[1]} pixels, expected at most "
                f"{MOST_MEGAPIXELS:g} megapixels.\nReduce it in an image editor."
            )
