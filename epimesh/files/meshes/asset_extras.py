"""What a GLB says of itself: the `extras` of its `asset`, put into a finished file, however it was made."""

import json
import struct
from collections.abc import Mapping
from typing import Any

_HEADER = struct.Struct("<4sII")  # magic, version, length of the file
_CHUNK = struct.Struct("<I4s")  # length and kind of a chunk; the first one is the JSON


def with_asset_extras(glb: bytes, extras: Mapping[str, Any]) -> bytes:
    """The same GLB whose `asset.extras` hold these plain values.

    Source: Khronos, "glTF 2.0 Specification" (2021), sections 4.4 (GLB) and 5.7 (asset).
    """
    magic, version, _ = _HEADER.unpack_from(glb)
    length, kind = _CHUNK.unpack_from(glb, _HEADER.size)
    start = _HEADER.size + _CHUNK.size
    document = json.loads(glb[start : start + length])
    document["asset"]["extras"] = dict(extras)
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = glb[start + length :]
    whole = start + len(text) + len(rest)
    return b"".join([_HEADER.pack(magic, version, whole), _CHUNK.pack(len(text), kind), text, rest])
