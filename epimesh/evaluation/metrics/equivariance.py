"""Whether latents can be moved like pictures: encode, transform the latents, decode; against the transformed picture.

Source: Jambon, ETH Zurich (2023), table 4.2. Only pixels count that the transform fills from within the picture.
Blurred rows compare with a blurred picture, which is easy to match: they say nothing about equivariance.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.evaluation.metrics.images import psnr, ssim

CROPS = (0.25, 0.5, 0.75)
TURNS_DEG = (5.0, 10.0, 20.0, 45.0, 90.0)
BLURS = (4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Transform:
    """One way to change a picture.

    Args:
        name: for tables.
        of: changes pictures or latents, told how many pixels wide one of their cells and one latent is.
        valid: which of the changed picture's pixels are known, from its height and width.
    """

    name: str
    of: Callable[[Tensor, int, int], Tensor]
    valid: Callable[[Tensor], Tensor] = lambda picture: torch.ones_like(picture[0, 0], dtype=torch.bool)


@dataclass(frozen=True)
class Equivariance:
    """The likeness under one transform, mean over pictures.

    Args:
        transform: its name.
        psnr: in dB, of the valid pixels.
        ssim: of the whole picture, with everything invalid in white.
    """

    transform: str
    psnr: float
    ssim: float


def transforms() -> list[Transform]:
    """Those of the table, and a quarter turn."""
    return [
        Transform("identity", lambda picture, *_: picture),
        *(Transform(f"crop {share:g}", _cropping(share)) for share in CROPS),
        *(Transform(f"turn {angle:g}", _turning(angle), _inside(angle)) for angle in TURNS_DEG),
        *(Transform(f"blur {sigma:g}", _blurring(sigma)) for sigma in BLURS),
    ]


@torch.no_grad()
def equivariance(autoencoder: Autoencoder, images: Float[Tensor, "V 4 H W"]) -> list[Equivariance]:
    """One row per transform.

    Args:
        autoencoder: under test.
        images: on white, with coverage; their sides are multiples of its factor.
    """
    latents = autoencoder.encode(images)
    rows = []
    for transform in transforms():
        wanted = transform.of(images, 1, autoencoder.factor)[:, :3]
        found = autoencoder.decode(transform.of(latents, autoencoder.factor, autoencoder.factor))[:, :3]
        valid = transform.valid(wanted)
        white = (torch.where(valid, part, 1.0) for part in (found, wanted))
        pairs = list(zip(*white, strict=True))
        psnrs = [psnr(one, other, valid) for one, other in pairs]
        ssims = [ssim(one, other) for one, other in pairs]
        rows.append(Equivariance(transform.name, sum(psnrs) / len(psnrs), sum(ssims) / len(ssims)))
    return rows


def turned(picture: Float[Tensor, "V C H W"], angle_deg: float) -> Float[Tensor, "V C H W"]:
    """Turned about the middle, bilinear; what comes from outside repeats the border."""
    angle = math.radians(angle_deg)
    # From whole quarter turns everything that is not whole is rounding.
    cos, sin = (round(value, 12) for value in (math.cos(angle), math.sin(angle)))
    matrix = torch.tensor([[cos, -sin, 0], [sin, cos, 0]], dtype=picture.dtype).expand(len(picture), 2, 3)
    grid = torch.nn.functional.affine_grid(matrix, list(picture.shape), align_corners=False)
    return torch.nn.functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def _turning(angle_deg: float) -> Callable[[Tensor, int, int], Tensor]:
    return lambda picture, *_: turned(picture, angle_deg)


def _inside(angle_deg: float) -> Callable[[Tensor], Bool[Tensor, "H W"]]:
    def valid(picture: Tensor) -> Tensor:
        # A rim of one pixel is left out, so that nothing mixes with what lies beyond.
        ones = torch.nn.functional.pad(torch.ones_like(picture[:1, :1, 2:, 2:]), (1, 1, 1, 1))
        return turned(ones, angle_deg)[0, 0] > 1 - 1e-4

    return valid


def _cropping(share: float) -> Callable[[Tensor, int, int], Tensor]:
    def crop(picture: Tensor, pixels: int, factor: int) -> Tensor:
        # Of pictures as much is kept as of latents: whole latents.
        unit = factor // pixels
        cells = picture.shape[-1] // unit
        kept = max(1, round(share * cells))
        first = (cells - kept) // 2
        window = slice(first * unit, (first + kept) * unit)
        return picture[..., window, window]

    return crop


def _blurring(sigma: float) -> Callable[[Tensor, int, int], Tensor]:
    def blur(picture: Tensor, pixels: int, factor: int) -> Tensor:
        width = sigma / pixels
        reach = max(1, math.ceil(3 * width))
        weights = torch.exp(-((torch.arange(-reach, reach + 1) / width) ** 2) / 2).to(picture)
        weights = weights / weights.sum()
        rows = picture.flatten(0, 1)[:, None]
        for kernel, padding in ((weights[:, None], (0, 0, reach, reach)), (weights[None], (reach, reach, 0, 0))):
            padded = torch.nn.functional.pad(rows, padding, mode="replicate")
            rows = torch.nn.functional.conv2d(padded, kernel[None, None])
        return rows.reshape(picture.shape)

    return blur


@torch.no_grad()
def moved_pictures(autoencoder: Autoencoder, image: Float[Tensor, "1 4 H W"]) -> Float[Tensor, "N 3 H W"]:
    """Pairs for people: the picture under each transform, and what its moved latents decode to."""
    latents = autoencoder.encode(image)
    pairs = []
    for transform in transforms():
        wanted = transform.of(image, 1, autoencoder.factor)[:, :3]
        found = autoencoder.decode(transform.of(latents, autoencoder.factor, autoencoder.factor))[:, :3]
        pairs += [torch.nn.functional.interpolate(one, image.shape[-2:]) for one in (wanted, found)]
    return torch.cat(pairs)
