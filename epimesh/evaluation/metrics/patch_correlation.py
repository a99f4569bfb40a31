"""Whether two views show the same place alike, in pixels and in latents: correlation of patches around true matches.

Source: Jambon, ETH Zurich (2023), section 4.3. Matches come from depth instead of a search, and pairs of random places
say what patches of this size correlate by chance.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import Autoencoder
from epimesh.errors import BadInput
from epimesh.views import Views

CELLS = 3  # side of a patch of latents; of pixels it is as wide
PER_PAIR = 64  # matches per pair of views
SLACK = 0.02  # scene units by which a place may lie behind what the other view shows
BIN_DEG = 15.0


@dataclass(frozen=True)
class Correlation:
    """Patches that two views show from directions about `angle_deg` apart.

    Args:
        angle_deg: between the cameras' directions, middle of a bin.
        pixels: mean correlation of patches of pixels at true matches.
        latents: of patches of latents.
        pixels_by_chance: of pixels at random places of the object.
        latents_by_chance: of latents.
        matches: how many.
    """

    angle_deg: float
    pixels: float
    latents: float
    pixels_by_chance: float
    latents_by_chance: float
    matches: int


@torch.no_grad()
def patch_correlations(autoencoder: Autoencoder, views: Views, generator: torch.Generator) -> list[Correlation]:
    """One row per range of angles that has matches.

    Args:
        autoencoder: under test.
        views: with depth.
        generator: chooses the places.

    Raises:
        BadInput: the views hold no depth, or no two show the same place.
    """
    if views.depth is None:
        raise BadInput(
            "The views hold no depth, by which places are found again in other views.\n"
            "Expected a folder of `epimesh render`, or views with depth_file_path in their transforms.json."
        )
    latents = autoencoder.encode(torch.cat([views.rgb, views.alpha], dim=1))
    found: dict[int, list[Float[Tensor, "N 4"]]] = {}
    for first, second, angle in _pairs(views.cameras):
        here, there, random = matches(views, first, second, generator)
        if len(here):
            columns = [
                correlation(image[first], here, image[second], other, views.cameras, side)
                for other in (there, random)
                for image, side in ((views.rgb, CELLS * autoencoder.factor), (latents, CELLS))
            ]
            found.setdefault(int(angle // BIN_DEG), []).append(torch.stack(columns, dim=1))
    if not found:
        raise BadInput(f"No two of the {len(views)} views show the same place of the object.\nGive more views.")
    return [_row(number, torch.cat(found[number])) for number in sorted(found)]


def _row(number: int, values: Float[Tensor, "N 4"]) -> Correlation:
    pixels, latents, pixels_by_chance, latents_by_chance = (float(mean) for mean in values.mean(0))
    middle = (number + 0.5) * BIN_DEG
    return Correlation(middle, pixels, latents, pixels_by_chance, latents_by_chance, len(values))


def _pairs(cameras: Cameras) -> Iterator[tuple[int, int, float]]:
    cosines = (cameras.forward @ cameras.forward.T).clamp(-1, 1)
    for first in range(len(cameras)):
        for second in range(first + 1, len(cameras)):
            yield first, second, math.degrees(math.acos(float(cosines[first, second])))


def matches(
    views: Views, first: int, second: int, generator: torch.Generator
) -> tuple[Float[Tensor, "N 2"], Float[Tensor, "N 2"], Float[Tensor, "N 2"]]:
    """Pixels (x, y) of the first view, where the second shows the same places, and random ones of the second."""
    assert views.depth is not None
    rows, columns = (views.alpha[first, 0] > 0.99).nonzero().unbind(-1)
    chosen = torch.randperm(len(rows), generator=generator)[: 4 * PER_PAIR]
    rows, columns = rows[chosen], columns[chosen]
    points = views.cameras[first].unproject(views.depth[first][None].clamp_max(1e6))[0, rows, columns]
    pixel, depth = (part[:, 0] for part in views.cameras[second].project(points))
    size = pixel.new_tensor([views.cameras.width, views.cameras.height])
    inside = (pixel > 0).all(-1) & (pixel < size).all(-1) & (depth > 0)
    place = torch.where(inside[:, None], pixel, 0).long()
    seen = inside & ((views.depth[second][place[:, 1], place[:, 0]] - depth).abs() < SLACK)
    kept = seen.nonzero()[:PER_PAIR, 0]
    here = torch.stack([columns, rows], dim=-1)[kept] + 0.5
    elsewhere = (views.alpha[second, 0] > 0.99).nonzero().flip(-1)
    random = elsewhere[torch.randint(max(1, len(elsewhere)), (len(kept),), generator=generator)] + 0.5
    return here, pixel[kept], random


def correlation(
    image: Float[Tensor, "C h w"],
    places: Float[Tensor, "N 2"],
    other: Float[Tensor, "C h w"],
    other_places: Float[Tensor, "N 2"],
    cameras: Cameras,
    side: int,
) -> Float[Tensor, "N"]:
    """Normalised cross-correlation of patches around places that are given in the cameras' pixels.

    Args:
        image: of the first view, in pixels or latents.
        places: in it.
        other: of the second view.
        other_places: in that.
        cameras: whose pixels count.
        side: of a patch, in cells of the image.
    """
    pairs = ((image, places), (other, other_places))
    first, second = (_patches(one, where, cameras, side) for one, where in pairs)
    return torch.nn.functional.cosine_similarity(first, second, dim=1, eps=1e-12)


def _patches(
    image: Float[Tensor, "C h w"], places: Float[Tensor, "N 2"], cameras: Cameras, side: int
) -> Float[Tensor, "N P"]:
    """Patches whose channels have their mean over the patch taken off."""
    offsets = torch.arange(side) - (side - 1) / 2
    y, x = torch.meshgrid(offsets, offsets, indexing="ij")
    size = torch.tensor([image.shape[2], image.shape[1]])
    cell = places * size / torch.tensor([cameras.width, cameras.height])
    grid = (cell[:, None] + torch.stack([x, y], dim=-1).reshape(1, -1, 2)) / size * 2 - 1
    found = torch.nn.functional.grid_sample(image[None], grid[None], padding_mode="border", align_corners=False)[0]
    centred = found - found.mean(dim=-1, keepdim=True)
    return centred.transpose(0, 1).flatten(1)
