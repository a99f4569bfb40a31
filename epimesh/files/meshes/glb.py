"""Writes glTF: one mesh of one primitive, one opaque material, valid without warnings. GLB has all of it in one file.

Source: Khronos, "glTF 2.0 Specification" (2021), sections 3 (concepts) and 4 (GLB container).
"""

import json
import re
import struct
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

import numpy as np
import torch
from torch import Tensor

from epimesh.files.meshes.axes import to_y_up
from epimesh.files.meshes.colors import GREY, picture_bytes, to_linear
from epimesh.files.meshes.settings import TextureFormat
from epimesh.mesh import Mesh

_UINT16, _UINT32, _FLOAT = 5123, 5125, 5126
_VERTICES, _INDICES = 34962, 34963  # what a buffer view is for
_LINEAR, _MIPMAPS, _REPEAT = (
    9729,
    9987,
    10497,
)  # the sampler filters and repeats as `ray_casting` does
_WEBP = "EXT_texture_webp"


class _Buffer:
    """The binary chunk while it grows, with its views and accessors."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def view(self, content: bytes, **more: int) -> int:
        """Appends bytes at a multiple of four, where every kind of number may start. Returns the view's index."""
        self.views.append({"buffer": 0, "byteOffset": len(self.content), "byteLength": len(content), **more})
        self.content += content + bytes(-len(content) % 4)
        return len(self.views) - 1

    def numbers(self, values: np.ndarray, kind: str, component: int, target: int, **more: Any) -> int:
        """Appends an array of `kind` elements. Returns the accessor's index."""
        view = self.view(np.ascontiguousarray(values).tobytes(), target=target)
        self.accessors.append(
            {"bufferView": view, "componentType": component, "count": len(values), "type": kind, **more}
        )
        return len(self.accessors) - 1


def glb_bytes(mesh: Mesh, name: str = "object", texture: TextureFormat = "png") -> bytes:
    """A whole GLB file: metres, +Y up, front towards +Z.

    Colours are the texture's, else those of the vertices, else light grey. The material is rough, not metallic, opaque
    and one-sided. Node, mesh, material and texture carry `name`, so that a scene of many stays readable.
    """
    buffer = _Buffer()
    document = _document(buffer, mesh, name, texture)
    if mesh.texture is not None:
        document["images"][0]["bufferView"] = buffer.view(picture_bytes(mesh.texture, texture))
    return _container(_json(document, buffer), bytes(buffer.content))


def gltf_files(mesh: Mesh, name: str, texture: TextureFormat = "png") -> dict[str, bytes]:
    """The same as text, with NAME.bin and NAME_texture.png beside it: contents by file name, the glTF last."""
    buffer, stem = _Buffer(), PurePath(name).stem
    plain = re.sub(r"\s", "_", stem)  # spaces in references break many readers
    picture, binary = f"{plain}_texture.{texture}", f"{plain}.bin"
    document = _document(buffer, mesh, stem, texture)
    files = {binary: bytes(buffer.content)}
    if mesh.texture is not None:
        files[picture] = picture_bytes(mesh.texture, texture)
        document["images"][0]["uri"] = quote(picture)
    return {**files, name: _json(document, buffer, uri=quote(binary))}


def _document(buffer: _Buffer, mesh: Mesh, name: str, texture: TextureFormat) -> dict[str, Any]:
    """The scene of one node. Where the texture lies is for the caller to say."""
    attributes = _attributes(buffer, mesh)
    indices = buffer.numbers(_numpy(mesh.faces, np.uint32).reshape(-1), "SCALAR", _UINT32, _INDICES)
    primitive = {"attributes": attributes, "indices": indices, "material": 0}
    return {
        "asset": {"version": "2.0", "generator": "epimesh"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"name": name, "mesh": 0}],
        "meshes": [{"name": name, "primitives": [primitive]}],
        **_look(mesh, name, texture),
    }


def _json(document: dict[str, Any], buffer: _Buffer, **place: str) -> bytes:
    """The document with what the buffer has become."""
    content = {
        **document,
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{**place, "byteLength": len(buffer.content)}],
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _attributes(buffer: _Buffer, mesh: Mesh) -> dict[str, int]:
    positions = _numpy(to_y_up(mesh.vertices), np.float32)
    bounds = {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    found = {
        "POSITION": buffer.numbers(positions, "VEC3", _FLOAT, _VERTICES, **bounds),
        "NORMAL": buffer.numbers(_numpy(to_y_up(mesh.vertex_normals()), np.float32), "VEC3", _FLOAT, _VERTICES),
    }
    if mesh.uv is not None:
        found["TEXCOORD_0"] = buffer.numbers(_numpy(mesh.uv, np.float32), "VEC2", _FLOAT, _VERTICES)
    if mesh.texture is None and mesh.vertex_rgb is not None:
        # Linear light in 16 bits, as 8 would show steps in the dark; four numbers, so that each vertex is aligned.
        linear = torch.nn.functional.pad(to_linear(mesh.vertex_rgb.clamp(0, 1)), (0, 1), value=1.0)
        numbers = _numpy((linear * 65535).round(), np.uint16)
        found["COLOR_0"] = buffer.numbers(numbers, "VEC4", _UINT16, _VERTICES, normalized=True)
    return found


def _look(mesh: Mesh, name: str, texture: TextureFormat) -> dict[str, Any]:
    surface: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    material = {"name": name, "pbrMetallicRoughness": surface, "alphaMode": "OPAQUE", "doubleSided": False}
    if mesh.texture is None:
        if mesh.vertex_rgb is None:
            surface["baseColorFactor"] = [*[float(to_linear(torch.tensor(GREY)))] * 3, 1.0]
        return {"materials": [material]}
    surface["baseColorTexture"] = {"index": 0}
    source: dict[str, Any] = {"source": 0}
    needed = {"extensionsUsed": [_WEBP], "extensionsRequired": [_WEBP]} if texture == "webp" else {}
    return {
        "materials": [material],
        "textures": [{"sampler": 0, **({"extensions": {_WEBP: source}} if needed else source)}],
        "images": [{"name": f"{name}_texture", "mimeType": f"image/{texture}"}],
        "samplers": [{"magFilter": _LINEAR, "minFilter": _MIPMAPS, "wrapS": _REPEAT, "wrapT": _REPEAT}],
        **needed,
    }


def _container(document: bytes, binary: bytes) -> bytes:
    """Header and the two chunks; the JSON chunk is filled up with spaces, the binary one with zeros."""
    document += b" " * (-len(document) % 4)
    binary += bytes(-len(binary) % 4)
    length = 12 + 8 + len(document) + 8 + len(binary)
    header = struct.pack("<4sII", b"glTF", 2, length)
    return b"".join(
        [
            header,
            struct.pack("<I4s", len(document), b"JSON"),
            document,
            struct.pack("<I4s", len(binary), b"BIN\0"),
            binary,
        ]
    )


def _numpy(values: Tensor, kind: type) -> np.ndarray:
    return values.detach().cpu().numpy().astype(np.dtype(kind).newbyteorder("<"))
