"""Moves what a GLB shows without touching its meshes, materials and pictures: everything gets one more parent node.

Source: Khronos, "glTF 2.0 Specification" (2021), sections 3.5 (scenes, transformations) and 4.4 (GLB layout).
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch

from epimesh.data.objects import load_object
from epimesh.errors import BadInput
from epimesh.files.meshes import write_whole
from epimesh.files.meshes.axes import from_y_up

_MAGIC, _VERSION, _JSON = b"glTF", 2, b"JSON"


def write_in_frame(source: Path, target: Path, copyright_notice: str) -> None:
    """Writes a GLB of any size and place as this package's data sets have them, whole or not at all.

    Its positions become those of the world: z up, front towards +x (from glTF's +Y up, front towards +Z), the box of
    its triangles centred at the origin, its longest side 1.

    Args:
        source: the file as it was published.
        target: the new file; its folder is made.
        copyright_notice: goes into the file.

    Raises:
        BadInput: the file is damaged, holds no triangles, or they have no extent.
    """
    document, rest = _read(source)
    mesh = load_object(source)
    corners = mesh.vertices[mesh.faces].reshape(-1, 3)
    low, high = corners.amin(dim=0), corners.amax(dim=0)
    longest = float((high - low).max())
    if not longest > 0:
        raise BadInput(f"{source} shows a single point.\nExpected an object with an extent.")
    matrix = np.eye(4)
    rotation = from_y_up(torch.eye(3)).T.double().numpy()
    matrix[:3, :3] = rotation / longest
    matrix[:3, 3] = -matrix[:3, :3] @ ((low.double() + high.double()) / 2).numpy()
    _put_under_one_node(document, matrix, source)
    document["asset"]["copyright"] = copyright_notice
    write_whole({target: _bytes(document, rest)})


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """The JSON of a GLB, and all chunks after it."""
    content = path.read_bytes()
    try:
        magic, version, length = struct.unpack_from("<4sII", content)
        size, kind = struct.unpack_from("<I4s", content, 12)
        if (magic, version, kind) != (_MAGIC, _VERSION, _JSON):
            raise ValueError("it is no binary glTF 2.0")
        if length != len(content) or 20 + size > length:
            raise ValueError(f"it states {length} bytes and has {len(content)}")
        document = json.loads(content[20 : 20 + size])
        if not isinstance(document, dict) or not isinstance(document.get("asset"), dict):
            raise ValueError("its JSON describes no asset")
    except (struct.error, ValueError) as error:
        raise BadInput(f"{path} is not a whole GLB ({error}).\nExpected one: download it again.") from error
    return document, content[20 + size :]


def _put_under_one_node(document: dict[str, Any], matrix: np.ndarray, path: Path) -> None:
    """Gives the scene that is shown a single root with this transformation."""
    try:
        scene = document["scenes"][document.get("scene", 0)]
        roots = list(scene["nodes"])
        nodes = document["nodes"]
        if not roots or not all(0 <= root < len(nodes) for root in roots):
            raise ValueError("a scene of nodes that are not there")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BadInput(f"{path} shows no scene ({type(error).__name__}: {error}).\nExpected a GLB with one.") from error
    nodes.append({"name": "frame", "matrix": matrix.T.reshape(-1).tolist(), "children": roots})
    scene["nodes"] = [len(nodes) - 1]


def _bytes(document: dict[str, Any], rest: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIII4s", _MAGIC, _VERSION, 20 + len(text) + len(rest), len(text), _JSON)
    return head + text + rest
