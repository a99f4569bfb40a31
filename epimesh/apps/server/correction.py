"""The cut-out that a person sees and corrects with a brush."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

KEEP, REMOVE = "#00c853", "#d50000"  # colours of the brush
_TINT = np.array([0.45, 0.45, 0.5])
_FAINT = 0.25  # how much is left of what is not the object
_SIDE = 768  # pixels, of the picture that is painted on
_PAINTED = 96  # of 255


def tinted(photo: Path, mask: Path) -> Image.Image:
    """The photo in which all but the object is faint, no larger than the page needs."""
    from epimesh.files.images import read_picture

    rgb = read_picture(photo, longest_side=_SIDE).rgb.permute(1, 2, 0).numpy()
    with Image.open(mask) as found:
        coverage = np.asarray(found.convert("L").resize((rgb.shape[1], rgb.shape[0])))[..., None] / 255
    faint = rgb * _FAINT + _TINT * (1 - _FAINT)
    return Image.fromarray(((rgb * coverage + faint * (1 - coverage)) * 255).round().astype(np.uint8))


def corrected(mask: Path, layers: list[Any]) -> Image.Image:
    """The mask with what was painted: green is the object, red is not; the last stroke counts.

    Args:
        mask: as it was found.
        layers: pictures of strokes on nothing, RGBA.
    """
    with Image.open(mask) as found:
        coverage = np.array(found.convert("L"))
    for layer in layers:
        strokes = np.asarray(Image.fromarray(np.asarray(layer)).convert("RGBA").resize(coverage.shape[::-1]))
        coverage = _painted(coverage, strokes)
    return Image.fromarray(coverage)


def _painted(coverage: UInt8[np.ndarray, "H W"], strokes: UInt8[np.ndarray, "H W 4"]) -> UInt8[np.ndarray, "H W"]:
    there = strokes[..., 3] > _PAINTED
    keep = strokes[..., 1].astype(int) > strokes[..., 0]
    return np.where(there, np.where(keep, 255, 0), coverage).astype(np.uint8)


def is_touched(layers: list[Any]) -> bool:
    """Whether anything was painted."""
    return any(
        bool((np.asarray(Image.fromarray(np.asarray(one)).convert("RGBA"))[..., 3] > _PAINTED).any()) for one in layers
    )
