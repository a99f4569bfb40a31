"""Pinhole and orthographic cameras, and the only place where coordinate conventions are defined.

World   right-handed, z up; the object sits at the origin, its longest side is 1 (one scene unit).
Camera  OpenCV: x right, y down, z forward. Depth means camera z, so it is positive in front.
Pixel   (u, v) = (column, row). Pixel centres lie at half-integers: the image spans [0, W] x [0, H].
Angles  degrees; azimuth 0 is on +x and grows counter-clockwise seen from above, elevation grows towards +z.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import degrees, pi, radians, tan

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.checked import checked

DISTANCE = 1.5  # of every standard camera from the origin, in scene units (SyncDreamer's rig)
RING = 16  # views at equal steps of azimuth (SyncDreamer's rig)
FOV_DEG = 49.134  # 2 atan(128 / 280): a focal length of 280 pixels at 256 x 256 (SyncDreamer's rig)


@checked
@dataclass(frozen=True, eq=False, repr=False)
class Cameras(Artifact):
    """V cameras that share one image size. See the module docstring for conventions.

    An orthographic camera maps camera x, y straight to pixels: u = fx x + cx, v = fy y + cy.
    """

    world_to_camera: Float[Tensor, "V 4 4"]
    intrinsics: Float[Tensor, "V 3 3"]
    height: int
    width: int
    orthographic: bool = False

    def __len__(self) -> int:
        return len(self.world_to_camera)

    def __getitem__(self, views: int | slice | Sequence[int] | Int[Tensor, "K"]) -> "Cameras":
        """The chosen views, always as Cameras: `cameras[0]` holds one camera."""
        chosen = [views] if isinstance(views, int) else views
        return Cameras(
            self.world_to_camera[chosen], self.intrinsics[chosen], self.height, self.width, self.orthographic
        )

    @classmethod
    def on_sphere(
        cls,
        azimuth_deg: Float[Tensor, "V"],
        elevation_deg: Float[Tensor, "V"],
        *,
        size: int,
        distance: float = DISTANCE,
        fov_deg: float = FOV_DEG,
    ) -> "Cameras":
        """Cameras that look at the origin from a sphere, world z up in the image."""
        azimuth, elevation = torch.deg2rad(azimuth_deg), torch.deg2rad(elevation_deg)
        away = torch.stack([elevation.cos() * azimuth.cos(), elevation.cos() * azimuth.sin(), elevation.sin()], dim=-1)
        right = torch.stack([-azimuth.sin(), azimuth.cos(), torch.zeros_like(azimuth)], dim=-1)
        down = torch.linalg.cross(-away, right)
        world_to_camera = torch.eye(4, device=azimuth.device).repeat(len(azimuth), 1, 1)
        world_to_camera[:, :3, :3] = torch.stack([right, down, -away], dim=-2)
        world_to_camera[:, 2, 3] = distance
        focal = size / (2 * tan(radians(fov_deg) / 2))
        rows = [[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]
        intrinsics = torch.tensor(rows, device=azimuth.device)
        return cls(world_to_camera, intrinsics.repeat(len(azimuth), 1, 1), height=size, width=size)

    @classmethod
    def ring(
        cls, views: int = RING, *, size: int, elevation_deg: float = 30.0, first_azimuth_deg: float = 0.0
    ) -> "Cameras":
        """Cameras at equal steps of azimuth on one circle: SyncDreamer's 16 views by default."""
        azimuth = first_azimuth_deg + torch.arange(views) * (360.0 / views)
        return cls.on_sphere(azimuth, torch.full((views,), elevation_deg), size=size)

    @staticmethod
    def joined(parts: "Sequence[Cameras]") -> "Cameras":
        """One Cameras of all views in order. All parts must share image size and kind."""
        kinds = {(part.height, part.width, part.orthographic) for part in parts}
        if len(kinds) != 1:
            raise ValueError(
                f"only cameras of one size and kind can be joined, got (height, width, orthographic) {kinds}"
            )
        height, width, orthographic = kinds.pop()
        return Cameras(
            torch.cat([part.world_to_camera for part in parts]),
            torch.cat([part.intrinsics for part in parts]),
            height,
            width,
            orthographic,
        )

    @property
    def camera_to_world(self) -> Float[Tensor, "V 4 4"]:
        """The inverse of `world_to_camera`."""
        return torch.linalg.inv_ex(self.world_to_camera).inverse  # unlike inv, it does not wait for a GPU to check

    @property
    def centres(self) -> Float[Tensor, "V 3"]:
        """Where the cameras stand, in world coordinates."""
        return self.camera_to_world[:, :3, 3]

    @property
    def forward(self) -> Float[Tensor, "V 3"]:
        """Unit viewing directions in the world."""
        return self.world_to_camera[:, 2, :3]

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras for images of another size."""
        scale = self.intrinsics.new_tensor([[width / self.width], [height / self.height], [1.0]])
        return Cameras(self.world_to_camera, self.intrinsics * scale, height, width, self.orthographic)

    def project(
        self, points: Float[Tensor, "*shape 3"]
    ) -> tuple[Float[Tensor, "*shape V 2"], Float[Tensor, "*shape V"]]:
        """Where world points appear: pixel positions (u, v) in every view, and their depths."""
        rotation, translation = self.world_to_camera[:, :3, :3], self.world_to_camera[:, :3, 3]
        seen = torch.einsum("vij,...j->...vi", rotation, points) + translation
        return self._pixels_and_depth(seen, *self._focal_and_centre())

    def project_own(
        self, points: Float[Tensor, "V *shape 3"]
    ) -> tuple[Float[Tensor, "V *shape 2"], Float[Tensor, "V *shape"]]:
        """The same for points of which every view has its own."""
        rows = len(self), *[1] * (points.dim() - 2)
        seen = torch.einsum("vij,v...j->v...i", self.world_to_camera[:, :3, :3], points)
        seen = seen + self.world_to_camera[:, :3, 3].reshape(*rows, 3)
        return self._pixels_and_depth(seen, *(part.reshape(*rows, 2) for part in self._focal_and_centre()))

    def unproject(self, depth: Float[Tensor, "V h w *samples"]) -> Float[Tensor, "V h w *samples 3"]:
        """World points at the given depths behind the pixel centres of an h x w grid over each image."""
        views, height, width = depth.shape[:3]
        pixels = self._pixel_centres(height, width, depth)
        focal, centre = self._focal_and_centre()
        plane = (pixels - centre[:, None, None]) / focal[:, None, None]
        plane = plane.reshape(views, height, width, *[1] * (depth.dim() - 3), 2)
        z = depth[..., None]
        seen = torch.cat([plane.expand(*depth.shape, 2) * (1 if self.orthographic else z), z], dim=-1)
        to_world = self.camera_to_world
        return torch.einsum("vij,vhw...j->vhw...i", to_world[:, :3, :3], seen) + to_world[:, :3, 3].reshape(
            views, *[1] * (depth.dim() - 1), 3
        )

    def rays(self) -> tuple[Float[Tensor, "V H W 3"], Float[Tensor, "V H W 3"]]:
        """Origins and unit directions of the rays through all pixel centres, in the world."""
        near = self.unproject(self.intrinsics.new_zeros(len(self), self.height, self.width))
        far = self.unproject(self.intrinsics.new_ones(len(self), self.height, self.width))
        return near, torch.nn.functional.normalize(far - near, dim=-1)

    def view_delta(self, to: "Cameras") -> Float[Tensor, "W 4"]:
        """How the cameras `to` differ from this single camera, as Zero-1-to-3 is told it.

        Returns:
            [polar difference, sin(azimuth difference), cos(azimuth difference), radius difference], radians and scene
            units. Polar angles are measured from +z, so a positive first entry means the camera moves down.

        Source:
            Liu et al., "Zero-1-to-3" (arXiv:2303.11328), the relative pose of the conditioning.
        """
        if len(self) != 1:
            raise ValueError(f"view_delta starts from one camera, got {len(self)}")
        polar, azimuth, radius = _spherical(self.centres)
        polar_to, azimuth_to, radius_to = _spherical(to.centres)
        turn = azimuth_to - azimuth
        return torch.stack([polar_to - polar, turn.sin(), turn.cos(), radius_to - radius], dim=-1)

    def azimuth_elevation_deg(self) -> tuple[Float[Tensor, "V"], Float[Tensor, "V"]]:
        """Azimuth in [0, 360) and elevation of every camera, in degrees."""
        polar, azimuth, _ = _spherical(self.centres)
        return torch.rad2deg(azimuth) % 360, degrees(pi / 2) - torch.rad2deg(polar)

    def _focal_and_centre(self) -> tuple[Float[Tensor, "V 2"], Float[Tensor, "V 2"]]:
        return torch.diagonal(self.intrinsics, dim1=-2, dim2=-1)[:, :2], self.intrinsics[:, :2, 2]

    def _pixels_and_depth(self, seen: Tensor, focal: Tensor, centre: Tensor) -> tuple[Tensor, Tensor]:
        depth = seen[..., 2]
        plane = seen[..., :2] if self.orthographic else seen[..., :2] / _away_from_zero(depth)[..., None]
        return plane * focal + centre, depth

    def _pixel_centres(self, height: int, width: int, like: Tensor) -> Float[Tensor, "1 h w 2"]:
        u = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) * (self.width / width)
        v = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) * (self.height / height)
        return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1)[None]


def _away_from_zero(depth: Tensor) -> Tensor:
    """Keeps the division by depth finite for points in the camera's own plane; their sign still says 'not in front'."""
    return torch.where(depth.abs() < 1e-8, torch.full_like(depth, 1e-8), depth)


def _spherical(points: Float[Tensor, "V 3"]) -> tuple[Tensor, Tensor, Tensor]:
    """Polar angle from +z, azimuth from +x, both in radians, and radius."""
    x, y, z = points.unbind(-1)
    return torch.atan2(torch.hypot(x, y), z), torch.atan2(y, x), points.norm(dim=-1)
