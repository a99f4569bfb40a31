"""What one image says about the colours of the surface, and how far it is to be believed."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.rendering.ray_casting import RayCaster
from epimesh.stages.texture.atlas import Texels

_DEPTH_SIDE = 512  # smallest side of the depth maps that decide what is hidden
_DEPTH_SLACK = 0.004  # scene units by which a place may lie behind the surface a depth map shows
_JUMP = 0.03  # scene units between neighbours in a depth map that count as an edge; slopes stay below it
_RIM = 0.02  # share of the silhouette's size within which its pixels are trusted less
_LEAST = 0.02  # trust that is left near an edge: used only where nothing better is known
_GRAZING = 0.12  # cosine below which a surface is seen too obliquely to be read
_DETAIL = 0.012  # share of the image side: details finer than this are taken from the best image alone


@dataclass(frozen=True, eq=False)
class ProjectedColor:
    """Colours and trust of one image at N places. Trust is 0 where it does not see the place.

    Args:
        coarse: sRGB without fine detail.
        fine: the detail that `coarse` lacks; their sum is the image.
        trust: 1 for a square look away from all edges.
    """

    coarse: Float[Tensor, "N 3"]
    fine: Float[Tensor, "N 3"]
    trust: Float[Tensor, "N"]


@dataclass(frozen=True, eq=False)
class ViewProjector:
    """One image, prepared for being asked about places of a surface.

    Args:
        camera: the single camera.
        layers: colours without detail, details, trust by distance to edges; each of the image's size.
        depth: camera z of the surface in scene units, a little generous at edges; -inf beside the surface.
        is_photo: the image is the photo, which is true where it sees.
    """

    camera: Cameras
    layers: Float[Tensor, "7 H W"]
    depth: Float[Tensor, "D1 D2"]
    is_photo: bool

    @staticmethod
    def of(
        rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"], camera: Cameras, caster: RayCaster, is_photo: bool
    ) -> "ViewProjector":
        """Prepares an image with straight alpha (colours not mixed with the background)."""
        scale = max(1, math.ceil(_DEPTH_SIDE / max(camera.height, camera.width)))
        depth = _depth_map(camera.resized(camera.height * scale, camera.width * scale), caster)
        rgb = _spread(rgb, alpha)
        coarse = _blurred(rgb, alpha, _DETAIL * max(camera.height, camera.width))
        trust = _trust_by_edges(alpha, depth[scale // 2 :: scale, scale // 2 :: scale].isfinite(), _jumps(depth, scale))
        layers = torch.cat([coarse, rgb - coarse, trust[None]])
        return ViewProjector(camera, layers, _generous(depth), is_photo)

    def about(self, texels: Texels) -> ProjectedColor:
        """What the image shows at the texels."""
        facing = (texels.normal * self._towards(texels.position)).sum(-1)
        count = len(texels)
        statement = ProjectedColor(torch.zeros(count, 3), torch.zeros(count, 3), torch.zeros(count))
        asked = torch.nonzero(facing > _GRAZING)[:, 0]
        pixel, depth = (part[:, 0] for part in self.camera.project(texels.position[asked]))
        size = pixel.new_tensor([self.camera.width, self.camera.height])
        inside = (depth > 0) & (pixel > 0).all(-1) & (pixel < size).all(-1)
        cell = (pixel / size * size.new_tensor(self.depth.shape[::-1])).long()
        cell = torch.where(inside[:, None], cell, 0)
        seen = inside & (depth <= self.depth[cell[:, 1], cell[:, 0]] + _DEPTH_SLACK)
        asked, pixel = asked[seen], pixel[seen]
        values = _sampled(self.layers, pixel / size)
        statement.coarse[asked], statement.fine[asked] = values[:, :3], values[:, 3:6]
        square = ((facing[asked] - _GRAZING) / (1 - _GRAZING)).clamp(0, 1)
        statement.trust[asked] = values[:, 6] * square.square()
        return statement

    def _towards(self, position: Float[Tensor, "N 3"]) -> Float[Tensor, "*N 3"]:
        """Unit directions from the places to the camera."""
        if self.camera.orthographic:
            return -self.camera.forward
        return torch.nn.functional.normalize(self.camera.centres - position, dim=-1)


def _depth_map(camera: Cameras, caster: RayCaster) -> Float[Tensor, "H W"]:
    """Camera z of the surface at the pixel centres; infinite beside it."""
    origins, directions = camera.rays()
    return caster.cast(origins[0], directions[0]).distance * (directions[0] @ camera.forward[0])


def _generous(depth: Float[Tensor, "H W"]) -> Float[Tensor, "H W"]:
    """The largest finite depth among a pixel and its neighbours: slopes within a pixel hide nothing."""
    finite = torch.where(depth.isfinite(), depth, -torch.inf)
    return torch.nn.functional.max_pool2d(finite[None], 3, stride=1, padding=1)[0]


def _jumps(depth: Float[Tensor, "D1 D2"], scale: int) -> Bool[Tensor, "H W"]:
    """The image's pixels that a depth edge crosses, where one part of the surface hides another.

    Found in the finer depth map: from pixel to pixel of a small image, a slope drops as far as an edge does.
    """
    pool = torch.nn.functional.max_pool2d
    far = torch.where(depth.isfinite(), depth, 0)[None]
    drop = pool(far, 3, stride=1, padding=1) + pool(-depth[None], 3, stride=1, padding=1)
    return pool((drop > _JUMP).float(), scale)[0] > 0


def _trust_by_edges(
    alpha: Float[Tensor, "H W"], surface: Bool[Tensor, "H W"], jump: Bool[Tensor, "H W"]
) -> Float[Tensor, "H W"]:
    """0 off the object and on depth edges, little near those and at silhouettes of image and surface, 1 inside."""
    from scipy.ndimage import distance_transform_edt

    body = (alpha > 0.5) & surface
    if not body.any():
        return torch.zeros_like(alpha)
    to_rim = torch.from_numpy(distance_transform_edt(body.numpy()))
    to_jump = torch.from_numpy(distance_transform_edt(~jump.numpy())) if jump.any() else to_rim + 1
    # Pixels at a jump mix two surfaces, and the ones next to them are read together with them. At the silhouette there
    # is no such mixture, since the object's colours were carried outwards.
    inside = torch.minimum(to_rim, to_jump - 1).float() / max(1.5, _RIM * math.sqrt(float(body.sum())))
    return torch.where((alpha > 0.5) & ~jump, _LEAST + (1 - _LEAST) * inside.clamp(0, 1), 0.0)


def _spread(rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"]) -> Float[Tensor, "3 H W"]:
    """The object's colours, carried outwards from where they are pure over its half-covered rim and beyond."""
    from scipy.ndimage import distance_transform_edt

    pure = alpha > min(0.95, float(alpha.max()) - 1e-3)
    if not pure.any():
        return rgb
    rows, columns = distance_transform_edt(~pure.numpy(), return_distances=False, return_indices=True)
    return rgb[:, torch.from_numpy(rows).long(), torch.from_numpy(columns).long()]


def _blurred(rgb: Float[Tensor, "3 H W"], alpha: Float[Tensor, "H W"], sigma: float) -> Float[Tensor, "3 H W"]:
    """Gaussian blur among the object's own pixels."""
    from scipy.ndimage import gaussian_filter

    weight = np.maximum((alpha > 0.5).numpy().astype(np.float32), 1e-3)
    total = gaussian_filter(weight, sigma)
    blurred = [gaussian_filter(channel * weight, sigma) / total for channel in rgb.numpy()]
    return torch.from_numpy(np.stack(blurred))


def _sampled(image: Float[Tensor, "C H W"], position: Float[Tensor, "N 2"]) -> Float[Tensor, "N C"]:
    """Bilinear values at positions (x, y) in [0, 1]; the border's colour beyond the outermost pixel centres."""
    grid = (position * 2 - 1)[None, None]
    values = torch.nn.functional.grid_sample(image[None], grid, padding_mode="border", align_corners=False)
    return values[0, :, 0].T
