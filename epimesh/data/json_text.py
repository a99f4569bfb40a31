"""Reads JSON files that other programs wrote: any Unicode encoding, and nothing that takes the program down."""

import codecs
import json
from pathlib import Path
from typing import Any

from epimesh.errors import BadInput

LARGEST_BYTES = 64_000_000  # a thousand cameras take half a megabyte
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        BadInput: it cannot be read, is too large, or is no JSON; the message says which.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise BadInput(
                f"{path} has {size / 1e6:.0f} MB, expected at most {LARGEST_BYTES / 1e6:.0f}.\n"
                "Is it the right file? Keep the cameras and leave everything else out."
            )
        return json.loads(decoded(path.read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, BadInput):
            raise
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise BadInput(
            f"{path} cannot be read as cameras ({reason}).\n"
            "Expected the JSON of nerfstudio or Blender's NeRF scenes: frames with file_path and transform_matrix."
        ) from error


def decoded(content: bytes) -> str:
    """Text in UTF-8, or in UTF-16 that says so in its first bytes, as editors on Windows write it.

    Raises:
        ValueError: it is neither.
    """
    for mark, encoding in _ENCODINGS:
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8")
