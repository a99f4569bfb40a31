"""The photo as Zero123++ and InstantMesh are shown it, and the picture of six tiles that they make."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from epimesh.errors import BadInput

ROWS, COLUMNS = 3, 2
GREY, WHITE = 127, 255


def resized_foreground(picture: Image.Image, ratio: float) -> Image.Image:
    """The object in the middle of a transparent square of which its longer side takes `ratio`; nothing is resampled.

    Args:
        picture: RGBA.
        ratio: at most 1. The published code loses the last row and column, and so does this.

    Raises:
        BadInput: the picture is entirely transparent.
    """
    pixels = np.asarray(picture)
    rows, columns = np.nonzero(pixels[..., 3] > 0)
    if len(rows) == 0 or rows.max() == rows.min() or columns.max() == columns.min():
        raise BadInput("The cut-out is entirely transparent.\nExpected an object; check the mask.")
    cut = pixels[rows.min() : rows.max(), columns.min() : columns.max()]
    square = _padded(cut, max(cut.shape[:2]))
    return Image.fromarray(_padded(square, int(len(square) / ratio)))


def _padded(pixels: UInt8[np.ndarray, "H W 4"], side: int) -> UInt8[np.ndarray, "S S 4"]:
    top, left = (side - pixels.shape[0]) // 2, (side - pixels.shape[1]) // 2
    frame = np.zeros((side, side, 4), dtype=np.uint8)
    frame[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return frame


def on_constant(picture: Image.Image, value: int) -> Image.Image:
    """RGBA on a plain background, with 8-bit arithmetic."""
    plain = Image.new("RGBA", picture.size, (value, value, value))
    plain.paste(picture, mask=picture.getchannel("A"))
    return plain.convert("RGB")


def vae_pixels(picture: Image.Image, side: int) -> Float[Tensor, "1 3 S S"]:
    """For the autoencoder: bilinear, in the range that is used here, -.625 to .625."""
    return (_square(picture, side, Image.Resampling.BILINEAR) - 0.5) / 0.8


def clip_pixels(picture: Image.Image) -> Float[Tensor, "1 3 224 224"]:
    """For CLIP: bicubic, normalised."""
    from epimesh.stages.shared.photo_token import CLIP_MEAN, CLIP_SIZE, CLIP_STD

    mean, std = (torch.tensor(values)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    return (_square(picture, CLIP_SIZE, Image.Resampling.BICUBIC) - mean) / std


def _square(picture: Image.Image, side: int, how: Image.Resampling) -> Float[Tensor, "1 3 S S"]:
    small = picture.resize((side, side), how)
    return torch.from_numpy(np.asarray(small, dtype=np.float32) / 255).permute(2, 0, 1)[None]


def tiles(grid: Float[Tensor, "1 C H W"]) -> Float[Tensor, "6 C h w"]:
    """The six views of a picture, row by row."""
    return torch.cat([tile for row in grid.chunk(ROWS, dim=2) for tile in row.chunk(COLUMNS, dim=3)])


def unscaled_latents(x: Tensor) -> Tensor:
    """Latents as the autoencoder knows them, from those that the network knows."""
    return x / 0.75 + 0.22
