"""Features that two views share: SIFT's, each the other's nearest, and each on the other's epipolar line.

SIFT needs no training and no download. It finds fewer matches than trained matchers do, so numbers of matches compare
with each other, not with published ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import DISTANCE, Cameras

NEXT_BEST = 0.8  # a match is clear if the nearest feature is at most this far away, compared with the second nearest
CONTRAST = 0.005  # renders are smooth: half of what scikit-image asks of a feature, and more true matches
ON_LINE = 2 / 256  # of the width of a view: how far a match may lie from the epipolar line
_GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True, eq=False)
class Features:
    """Places of one view that can be recognised.

    Args:
        pixels: positions (u, v).
        descriptors: 128 numbers each.
    """

    pixels: Float[Tensor, "N 2"]
    descriptors: np.ndarray


@dataclass(frozen=True, eq=False)
class Matches:
    """The same places in two views, as positions (u, v)."""

    first: Float[Tensor, "K 2"]
    second: Float[Tensor, "K 2"]

    def __len__(self) -> int:
        return len(self.first)


def features(picture: Float[Tensor, "3 H W"]) -> Features:
    """SIFT features of a picture in [0, 1]; none in a picture without any.

    Source:
        Lowe, "Distinctive image features from scale-invariant keypoints" (2004).
    """
    from skimage.feature import SIFT

    finder = SIFT(c_dog=CONTRAST)
    grey = torch.einsum("chw,c->hw", picture, picture.new_tensor(_GREY)).numpy()
    try:
        finder.detect_and_extract(np.ascontiguousarray(grey))
    except RuntimeError:  # what it raises where there is nothing to find
        return Features(torch.zeros(0, 2), np.zeros((0, 128)))
    rows_columns = torch.from_numpy(np.asarray(finder.positions)).float()
    return Features(rows_columns.flip(-1) + 0.5, finder.descriptors)


def matches(first: Features, second: Features, camera: Cameras, other: Cameras) -> Matches:
    """Features that are each other's nearest, clearly, and where the two cameras allow."""
    from skimage.feature import match_descriptors

    if min(len(first.pixels), len(second.pixels)) < 2:
        return Matches(torch.zeros(0, 2), torch.zeros(0, 2))
    chosen = match_descriptors(first.descriptors, second.descriptors, max_ratio=NEXT_BEST, cross_check=True)
    one, two = torch.from_numpy(chosen.astype(np.int64)).unbind(-1)
    here, there = first.pixels[one], second.pixels[two]
    near = torch.maximum(
        line_distance(here, there, camera, other) / other.width,
        line_distance(there, here, other, camera) / camera.width,
    )
    return Matches(here[near < ON_LINE], there[near < ON_LINE])


def line_distance(
    pixels: Float[Tensor, "N 2"], others: Float[Tensor, "N 2"], camera: Cameras, other: Cameras
) -> Float[Tensor, "N"]:
    """How far `others` lie from the epipolar lines of `pixels`, in pixels of the other view."""
    ends = [_seen_from(pixels, depth, camera, other) for depth in (0.5 * DISTANCE, 1.5 * DISTANCE)]
    along = torch.nn.functional.normalize(ends[1] - ends[0], dim=-1)
    aside = others - ends[0]
    return (along[:, 0] * aside[:, 1] - along[:, 1] * aside[:, 0]).abs()


def _seen_from(pixels: Float[Tensor, "N 2"], depth: float, camera: Cameras, other: Cameras) -> Float[Tensor, "N 2"]:
    """Where the other camera sees what lies at one depth behind the pixels."""
    focal, centre = torch.diagonal(camera.intrinsics[0])[:2], camera.intrinsics[0, :2, 2]
    plane = (pixels - centre) / focal * (1 if camera.orthographic else depth)
    seen = torch.cat([plane, torch.full((len(plane), 1), depth)], dim=-1)
    to_world = camera.camera_to_world[0]
    return other.project(seen @ to_world[:3, :3].T + to_world[:3, 3])[0][:, 0]
