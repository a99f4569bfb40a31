"""Where a pixel of one view may reappear in the others, if its depth is known roughly.

A pixel with rough depth z shows a surface point on a short piece of its ray: within the margin r of where z puts it.
S points on that piece, projected into N other views, are the only places where attention has to look.

Vocabulary: a *reference* view asks, *sources* answer. Maps are h x w, and positions are pixels of such a map with
centres at half-integers, so the same segment at another resolution is scaled by the ratio of the sizes.

Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016),
depth-truncated epipolar attention. The paper gives no unit for r; here it is scene units along the ray.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.errors import StageMismatch


@dataclass(frozen=True, eq=False)
class Segments:
    """The segments of V reference views in M maps; unless said otherwise the first V maps are those of the views.

    Args:
        sources: which N maps each reference view looks at; the column is the slot of the source.
        positions: (u, v) of every point, finite everywhere.
        visible: False where the depth is unknown, the point is behind the source's camera or beside its image.
        rays: Pluecker coordinates of all pixels of the M maps.
    """

    sources: Int[Tensor, "V N"]
    positions: Float[Tensor, "V h w S N 2"]
    visible: Bool[Tensor, "V h w S N"]
    rays: Float[Tensor, "M 6 h w"]

    def to(self, device: torch.device) -> "Segments":
        """The same on another device."""
        return Segments(*(tensor.to(device) for tensor in (self.sources, self.positions, self.visible, self.rays)))


def ring_sources(views: int, neighbours: int) -> Int[Tensor, "V N"]:
    """The nearest other views on a ring, in ring order from the reference view on.

    So a slot always means the same neighbour: with all V - 1 others, slot k is view i + 1 + k (mod V). Of two views
    equally far away the following one comes first.

    Raises:
        StageMismatch: there are fewer than `neighbours` others.
    """
    if neighbours >= views:
        raise StageMismatch(
            f"Found {views} views, but every view looks at {neighbours} others.\n"
            f"Give at least {neighbours + 1} views, or use weights that were trained for {views - 1} neighbours."
        )
    steps = torch.arange(1, views)
    distance = torch.minimum(steps, views - steps)
    nearest = steps[torch.argsort(distance, stable=True)[:neighbours]].sort().values
    return (torch.arange(views)[:, None] + nearest) % views


def ray_offsets(jitter: Float[Tensor, "*pixels S"], margin: float) -> Float[Tensor, "*pixels S"]:
    """Distances from the rough surface along the ray, one in each of S equal strata of [-margin, margin].

    Args:
        jitter: place within the stratum, 0 to 1: random in training, 1/2 otherwise. An odd S then holds 0.
        margin: half the length of the segment, in scene units.

    Raises:
        ValueError: the margin is negative, or there is no stratum.
    """
    samples = jitter.shape[-1]
    if margin < 0 or samples < 1:
        raise ValueError(f"a margin of at least 0 and at least one sample are needed, got {margin} and {samples}")
    stratum = torch.arange(samples, device=jitter.device)
    return margin * (2 * (stratum + jitter) / samples - 1)


def epipolar_segments(
    cameras: Cameras,
    depth: Float[Tensor, "V h w"],
    *,
    sources: Int[Tensor, "V N"],
    offsets: Tensor,
    references: Int[Tensor, "V"] | None = None,
) -> Segments:
    """Points along the ray of every pixel, round its rough depth, and where the sources see them.

    Args:
        cameras: of the M maps. Pinhole or orthographic.
        depth: camera z of the reference views at map resolution, in scene units; unknown where not finite or not
            positive.
        sources: which maps each reference view looks at.
        offsets: distances along the ray from the rough surface, in scene units; [V h w S] or what broadcasts to it.
        references: which maps the reference views are; the first V if not given.
    """
    views, height, width = depth.shape
    cameras = cameras.resized(height, width)
    asking = cameras[:views] if references is None else cameras[references]
    known = depth.isfinite() & (depth > 0)
    surface = asking.unproject(torch.where(known, depth, 1.0))
    direction = asking.rays()[1]
    points = surface[..., None, :] + offsets[..., None] * direction[..., None, :]
    size = depth.new_tensor([width, height])
    positions, visible = [], []
    for slot in sources.unbind(1):
        there, z = cameras[slot].project_own(points)
        positions.append(there)
        visible.append((z > 0) & ((there >= 0) & (there <= size)).all(-1) & known[..., None])
    return Segments(sources, torch.stack(positions, dim=-2), torch.stack(visible, dim=-1), pluecker_rays(cameras))


def pluecker_rays(cameras: Cameras) -> Float[Tensor, "V 6 H W"]:
    """Pluecker coordinates (direction, origin x direction) of the rays through all pixel centres, in the world.

    The world's azimuth 0 is the photo's camera, so the same object seen from the same side has the same coordinates.

    Source: Kant et al., "SPAD" (arXiv:2402.05235), where they condition cross-view attention.
    """
    origin, direction = cameras.rays()
    return torch.cat([direction, torch.linalg.cross(origin, direction)], dim=-1).permute(0, 3, 1, 2)
