"""A photo in whatever form a program has it, as the file that the first stage reads."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from epimesh.errors import BadInput

GivenPhoto: TypeAlias = str | Path | bytes | Image.Image | np.ndarray | Tensor
"""A path; the bytes of a file; a PIL image; an array [H, W, 3 or 4] or a tensor [3 or 4, H, W], 0 to 255 or 0 to 1."""

_PNG_MODES = ("L", "LA", "RGB", "RGBA", "P", "I;16")


@contextlib.contextmanager
def photo_file(photo: GivenPhoto) -> Iterator[Path]:
    """The path of the photo's file, which is a temporary one where the photo is no path.

    Raises:
        BadInput: it is of another type or shape, or its values are out of range.
    """
    if isinstance(photo, str | Path):
        yield Path(photo).expanduser()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.png"
        if isinstance(photo, bytes):
            path.write_bytes(photo)  # what it is, its content says
        else:
            _picture(photo).save(path, format="PNG", compress_level=1)
        yield path


def _picture(photo: Any) -> Image.Image:
    if isinstance(photo, Image.Image):
        upright = ImageOps.exif_transpose(photo)
        return upright if upright.mode in _PNG_MODES else upright.convert("RGB")
    if isinstance(photo, Tensor):
        _check_shape(photo, channels_at=0)
        return Image.fromarray(_in_8_bits(photo.detach().cpu().movedim(0, -1)))
    if isinstance(photo, np.ndarray):
        _check_shape(photo, channels_at=-1)
        return Image.fromarray(_in_8_bits(torch.from_numpy(np.ascontiguousarray(photo))))
    raise BadInput(
        f"The photo is a {type(photo).__name__}.\nExpected a path, bytes of a picture file, a PIL image, an array "
        "[H, W, 3 or 4] or a tensor [3 or 4, H, W]."
    )


def _check_shape(photo: np.ndarray | Tensor, channels_at: int) -> None:
    if photo.ndim != 3 or photo.shape[channels_at] not in (3, 4):
        wanted = "a tensor [3 or 4, H, W]" if channels_at == 0 else "an array [H, W, 3 or 4]"
        raise BadInput(f"The photo has the shape {tuple(photo.shape)}.\nExpected {wanted}: one picture, in colour.")


def _in_8_bits(pixels: Tensor) -> np.ndarray:
    """Whole numbers are 0 to 255, others 0 to 1."""
    if pixels.dtype == torch.uint8:
        return pixels.numpy()
    low, high = float(pixels.min()), float(pixels.max())
    if not pixels.is_floating_point() or not (low >= 0 and high <= 1):
        raise BadInput(
            f"The photo has values of {pixels.dtype} from {low:g} to {high:g}.\n"
            "Expected 8-bit whole numbers from 0 to 255, or floating-point numbers from 0 to 1."
        )
    return (pixels.float() * 255).round().to(torch.uint8).numpy()
