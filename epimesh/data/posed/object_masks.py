"""Masks as people have them: grey, in the transparency, 0 and 1, red on black, palettes, half size, inverted."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.files.images import read_picture

_MEANINGFUL = 0.01  # share of a picture that has to be transparent for its alpha channel to count
_LOOKED_AT = 128  # pixels, to see which way round a mask is
_BORDER, _MIDDLE = 0.9, 0.5  # an inverted mask covers nearly all of its border and less than this of its middle


def read_mask(path: Path, image: Path, size: tuple[int, int], full_size: tuple[int, int]) -> Float[Tensor, "H W"]:
    """Coverage by the object, 0 to 1, at the size of its image.

    Args:
        path: the mask.
        image: its image, for the message.
        size: height and width wanted.
        full_size: height and width of the image's file; the mask may be smaller or larger, but not of another shape.

    Raises:
        BadInput: it cannot be read, or has another shape than its image.
    """
    picture = read_picture(path, longest_side=max(size), upright=False)
    height, width = picture.full_height, picture.full_width
    if abs(width * full_size[0] - height * full_size[1]) > max(*full_size, height, width):
        raise BadInput(
            f"The mask {path} ({width} x {height}) and its image {image.name} ({full_size[1]} x {full_size[0]}) "
            "differ in shape.\nThey have to lie on each other."
        )
    transparent = picture.alpha is not None and float((picture.alpha < 0.5).float().mean()) >= _MEANINGFUL
    values = picture.alpha if picture.alpha is not None and transparent else picture.rgb.amax(dim=0)
    values = values / values.max().clamp_min(1e-6)  # some write 0 and 1 of 255, or a dark red
    if values.shape == size:
        return values
    return torch.nn.functional.interpolate(values[None, None], size, mode="bilinear", antialias=True)[0, 0].clamp(0, 1)


def are_inverted(masks: list[Path]) -> bool:
    """True if most of the masks cover their border and not their middle: black objects on white."""
    return bool(masks) and sum(_looks_inverted(mask) for mask in masks) > len(masks) / 2


def _looks_inverted(path: Path) -> bool:
    picture = read_picture(path, longest_side=_LOOKED_AT, upright=False)
    if picture.alpha is not None and float((picture.alpha < 0.5).float().mean()) >= _MEANINGFUL:
        return False
    values = picture.rgb.amax(dim=0)
    solid = values > 0.5 * float(values.max())
    height, width = solid.shape
    border = torch.cat([solid[0], solid[-1], solid[:, 0], solid[:, -1]]).float().mean()
    middle = solid[height // 4 : height - height // 4, width // 4 : width - width // 4].float().mean()
    return bool(border > _BORDER and middle < _MIDDLE)
