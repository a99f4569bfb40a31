"""How well neighbouring views of one object agree with each other, which is not whether they are right.

warp           the colours of every view, carried into the next by depth where both see the same surface, in dB
matches        features that neighbouring views share and that lie where their cameras allow, per pair of neighbours
reprojection   how far depth carries such a feature from where the neighbour shows it, median in pixels
rerender       the views against a surface reconstructed from them, seen from their cameras, in dB

Neighbours follow each other in azimuth, the last stands beside the first. Depth is the true one, or that of a surface
reconstructed from the views themselves. Pictures of nothing agree perfectly: read these numbers beside the likeness to
the truth, and beside those of the true views, which are not perfect either (surfaces shine, pixels are finite).
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.errors import BadInput
from epimesh.evaluation.metrics.feature_matching import Matches, features, matches
from epimesh.evaluation.metrics.images import psnr
from epimesh.views import Views

SAME_SURFACE = 0.02  # scene units; further apart, two depths belong to different surfaces


@dataclass(frozen=True)
class Consistency:
    """How well the views of one object agree. None: there was nothing to measure it on.

    Args:
        warp_psnr: of the colours that depth carries into the next view, in dB, at most 100.
        matches: per pair of neighbours.
        reprojection_px: median over all matches, in pixels of the views.
    """

    warp_psnr: float | None
    matches: float
    reprojection_px: float | None


def consistency(views: Views, depth: Float[Tensor, "V H W"]) -> Consistency:
    """The agreement of every view with the next one in azimuth.

    Args:
        views: at least two, on white.
        depth: camera z in scene units, infinite off the object; of the size of the views.

    Raises:
        BadInput: there are fewer than two views, or the depth has another size.

    Source:
        The questions are those of Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder"
        (arXiv:2408.14016), who count the matches of a trained matcher; these are SIFT's.
    """
    pairs = neighbours(views)
    found = _matches_of(views, pairs)
    errors = [
        reprojection_errors(views, depth, first, second, both)
        for (first, second), both in zip(pairs, found, strict=True)
    ]
    known = torch.cat(errors)
    return Consistency(
        warp_psnr=warp_psnr(views, depth),
        matches=sum(len(both) for both in found) / len(found),
        reprojection_px=float(known.median()) if len(known) else None,
    )


def neighbours(views: Views) -> list[tuple[int, int]]:
    """Every view with the next one in azimuth.

    Raises:
        BadInput: there are fewer than two views.
    """
    if len(views) < 2:
        raise BadInput(f"Found {len(views)} view(s).\nExpected at least two, to compare neighbours.")
    order = views.cameras.azimuth_elevation_deg()[0].round(decimals=2).argsort(stable=True).tolist()
    return list(zip(order, [*order[1:], order[0]], strict=True))


def warp_psnr(views: Views, depth: Float[Tensor, "V H W"]) -> float | None:
    """How well every view's colours fit those of the next one, in dB; None where no two see the same surface.

    Args:
        views: at least two.
        depth: camera z, of the size of the views; a place counts if both depths mean the same surface.
    """
    _require_fit(views, depth)
    errors = []
    for first, second in neighbours(views):
        place, z = carried(views, depth, first, second)
        grid = place[None] / place.new_tensor([views.cameras.width, views.cameras.height]) * 2 - 1
        sample = torch.nn.functional.grid_sample
        there = sample(depth[second][None, None], grid, mode="nearest", align_corners=False)[0, 0]
        seen = depth[first].isfinite() & ((there - z).abs() < SAME_SURFACE)
        colors = sample(views.rgb[second][None], grid, align_corners=False)[0]
        errors.append((colors - views.rgb[first]).square()[:, seen].flatten())
    error = torch.cat(errors)
    return -10 * math.log10(max(float(error.mean()), 1e-10)) if len(error) else None


def rerender_psnr(views: Views, shown: Views) -> float:
    """How well a surface that was made of the views repeats them, mean in dB: what they contradict gets lost in it.

    Args:
        views: as they were given to the reconstruction.
        shown: the surface from the same cameras, see `Surface.render`.
    """
    return sum(psnr(one, other) for one, other in zip(shown.rgb, views.rgb, strict=True)) / len(views)


def carried(
    views: Views, depth: Float[Tensor, "V H W"], first: int, second: int
) -> tuple[Float[Tensor, "H W 2"], Float[Tensor, "H W"]]:
    """Where the surface under every pixel of one view appears in another one, and how deep; nonsense off the object."""
    surface = views.cameras[first].unproject(torch.where(depth[first].isfinite(), depth[first], 1.0)[None])[0]
    place, z = views.cameras[second].project(surface)
    return place[..., 0, :], z[..., 0]


def reprojection_errors(
    views: Views, depth: Float[Tensor, "V H W"], first: int, second: int, both: Matches
) -> Float[Tensor, "K"]:
    """Pixels between where depth carries the matched features and where the other view shows them."""
    place, _ = carried(views, depth, first, second)
    column, row = both.first.long().unbind(-1)
    known: Bool[Tensor, " N"] = depth[first][row, column].isfinite()
    return (place[row, column] - both.second).norm(dim=-1)[known]


def _matches_of(views: Views, pairs: list[tuple[int, int]]) -> list[Matches]:
    described = [features(picture) for picture in views.rgb]
    return [matches(described[a], described[b], views.cameras[a], views.cameras[b]) for a, b in pairs]


def _require_fit(views: Views, depth: Float[Tensor, "V H W"]) -> None:
    if depth.shape != views.rgb[:, 0].shape:
        raise BadInput(
            f"The depth maps have the shape {tuple(depth.shape)}, the views {tuple(views.rgb[:, 0].shape)}.\n"
            "Expected one depth map of the same size for every view."
        )
