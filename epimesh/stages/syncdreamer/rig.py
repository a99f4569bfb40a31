"""The fixed cameras of a joint generator, and the two ways between their images and the cube around the object.

Inside these networks a pixel's integer index is its image coordinate (no half), as the published weights were trained.
The volume's axes are [z, y, x]. Geometry is always computed in float32, whatever the precision of the networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import DISTANCE, Cameras

NEAREST = 1e-4  # depths below this are treated as this, as the published code does


@dataclass(frozen=True, eq=False)
class Rig:
    """N cameras around the origin and the cube and depths at which they look.

    Args:
        world_to_camera: rotation and translation of every camera (OpenCV axes, scene units).
        intrinsics: pinhole matrices for images of `image_size` pixels.
        azimuth: of every camera, in radians.
        image_size: side of the images, in pixels.
        half_side: half the side of the cube that the volume covers, in scene units.
        half_depth: how far the sampled depths reach before and behind the origin, in scene units.
    """

    world_to_camera: Float[Tensor, "N 3 4"]
    intrinsics: Float[Tensor, "N 3 3"]
    azimuth: Float[Tensor, "N"]
    image_size: int
    half_side: float = 0.5
    half_depth: float = 0.86603

    @classmethod
    def ring(cls, views: int, image_size: int) -> "Rig":
        """The published arrangement for any number of views: elevation 30 degrees, equal steps of azimuth."""
        cameras = Cameras.ring(views, size=image_size)
        azimuth = torch.arange(views) * (2 * torch.pi / views)
        return cls(cameras.world_to_camera[:, :3], cameras.intrinsics, azimuth, image_size)

    def __len__(self) -> int:
        return len(self.world_to_camera)

    @property
    def cameras(self) -> Cameras:
        """The same cameras for everybody else."""
        last = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).expand(len(self), 1, 4)
        whole = torch.cat([self.world_to_camera, last], dim=1)
        return Cameras(whole, self.intrinsics.clone(), self.image_size, self.image_size)

    def view_vectors(self, elevation: Float[Tensor, "B"]) -> Float[Tensor, "B N 4"]:
        """How every view differs from the photo, of which the elevation in radians is given.

        Returns:
            [photo's elevation - 30 degrees, sin and cos of the azimuth difference to view 0, 0], radians.

        Source:
            Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3.3; the signs are those of Zero-1-to-3.
        """
        turn = (self.azimuth - self.azimuth[0]).to(elevation.device).expand(len(elevation), -1)
        down = (elevation - torch.deg2rad(torch.tensor(30.0)).to(elevation))[:, None].expand_as(turn)
        return torch.stack([down, turn.sin(), turn.cos(), torch.zeros_like(turn)], dim=-1)

    def lifting_grid(self, side: int, size: int) -> Float[Tensor, "N side side side 2"]:
        """Where every voxel of the cube appears in every image of `size` pixels, as `grid_sample` reads it."""
        axis = torch.linspace(-self.half_side, self.half_side, side)
        z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
        points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
        rotation, translation = self.world_to_camera[:, :, :3], self.world_to_camera[:, :, 3:]
        seen = self._reduced_intrinsics(size) @ (rotation @ points.T + translation)
        pixels = seen[:, :2] / seen[:, 2:].clamp_min(NEAREST)
        return (pixels.transpose(1, 2) / ((size - 1) / 2) - 1).reshape(len(self), side, side, side, 2)

    def depths(self, count: int) -> Float[Tensor, "count"]:
        """Depths (camera z, scene units) at which the frustum of a view is sampled."""
        near, far = DISTANCE - self.half_depth, DISTANCE + self.half_depth
        return torch.linspace(0, 1, count) * (far - near) + near

    def frustum_grid(self, count: int, size: int) -> Float[Tensor, "N count size size 3"]:
        """Where the samples along every pixel's ray lie in the volume, as `grid_sample` reads it."""
        pixel = torch.arange(size, dtype=torch.float32)
        v, u = torch.meshgrid(pixel, pixel, indexing="ij")
        rays = torch.stack([u, v, torch.ones_like(u)], dim=0).reshape(3, -1)
        depths = self.depths(count)
        seen = (depths[:, None, None] * rays).transpose(0, 1).reshape(3, -1)  # u d, v d, d
        rotation, translation = self.world_to_camera[:, :, :3], self.world_to_camera[:, :, 3:]
        projection = self._reduced_intrinsics(size) @ torch.cat([rotation, translation], dim=2)
        inverse = torch.linalg.inv(projection[:, :, :3])
        points = inverse @ (seen - projection[:, :, 3:])
        return (points / self.half_side).transpose(1, 2).reshape(len(self), count, size, size, 3)

    def _reduced_intrinsics(self, size: int) -> Float[Tensor, "N 3 3"]:
        reduction = size / self.image_size
        return self.intrinsics * torch.tensor([[reduction], [reduction], [1.0]])


def grid_sampled(maps: Tensor, grid: Tensor) -> Tensor:
    """Values of `maps` (images or volumes) at positions in [-1, 1], (multi-)linear; zero outside."""
    grid = grid.to(maps.device)  # positions would not survive half precision
    found = F.grid_sample(maps.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=True)
    return found.to(maps.dtype)


def rig_from_numbers(
    world_to_camera: Sequence[Sequence[Sequence[float]]],
    intrinsics: Sequence[Sequence[Sequence[float]]],
    azimuth: Sequence[float],
    image_size: int,
    half_side: float = 0.5,
    half_depth: float = 0.86603,
) -> Rig:
    """The rig that a `config.json` lists; single precision survives the decimal digits exactly."""
    return Rig(
        torch.tensor(world_to_camera),
        torch.tensor(intrinsics),
        torch.tensor(azimuth),
        image_size,
        half_side,
        half_depth,
    )
