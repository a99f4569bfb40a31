"""From one photo to occupancy and colour of any point in one volume.

Every cell of the volume sees the pixel that it projects to (pixel-aligned features: Saito et al., "PIFu",
arXiv:1905.05172; Yu et al., "pixelNeRF", arXiv:2012.02190). A three-dimensional network makes one object of them, and a
small perceptron answers for single points from the cells around them and from the photo where they appear in it.
"""

from typing import NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from epimesh.cameras import Cameras
from epimesh.stages.volume_prior.layers import PhotoAttention, Residual2d, Residual3d, finer

SIDE = 1.28  # of the volume, in scene units: photos that fill their frame reach beyond the unit cube
PIXELS = 128  # of the photo, per side
_CELLS = 32  # per side of the volume
_FINE = 64  # pixels per side of the features that cells and points see


class PhotoFeatures(NamedTuple):
    """What the network knows of B photos.

    Args:
        fine: for cells and points.
        tokens: coarse, for the attention.
        summary: of the whole photo.
        elevation_deg: where the camera seems to stand.
        elevation_spread_deg: mean absolute error that the network expects of it.
    """

    fine: Float[Tensor, "B C 64 64"]
    tokens: Float[Tensor, "B M K"]
    summary: Float[Tensor, "B S"]
    elevation_deg: Float[Tensor, "B"]
    elevation_spread_deg: Float[Tensor, "B"]


class PointAnswers(NamedTuple):
    """What the network says of N points in each of B volumes.

    Args:
        occupancy: logits; above 0 is inside.
        rgb: colours, 0 to 1.
    """

    occupancy: Float[Tensor, "B N"]
    rgb: Float[Tensor, "B N 3"]


class PhotoEncoder(nn.Module):
    """Features of a photo at several scales, and its elevation."""

    def __init__(self, widths: tuple[int, ...], fine: int, summary: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(16 + 2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual2d(b), Residual2d(b))
            for a, b in zip(widths[:-1], widths[1:], strict=True)
        )
        self.sideways = nn.ModuleList(nn.Conv2d(width, fine, 1) for width in widths)
        self.smooth = Residual2d(fine)
        self.summary = nn.Linear(2 * widths[-1], summary)
        self.elevation = nn.Sequential(nn.SiLU(), nn.Linear(summary, 128), nn.SiLU(), nn.Linear(128, 2))

    def forward(self, photo: Float[Tensor, "B 4 128 128"]) -> PhotoFeatures:
        """Of colours on white with coverage."""
        steps = torch.linspace(-1, 1, _FINE, device=photo.device)
        place = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).expand(len(photo), 2, _FINE, _FINE)
        x = torch.cat([functional.pixel_unshuffle(photo * 2 - 1, 2), place], dim=1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        scales = [x]
        for down in self.down:
            x = down(x)
            scales.append(x)
        fine = self.sideways[-1](x)
        for scale, sideways in zip(scales[-2::-1], self.sideways[-2::-1], strict=True):  # type: ignore[arg-type]
            fine = functional.interpolate(fine, scale_factor=2.0) + sideways(scale)
        summary = self.summary(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        angle = self.elevation(summary).float()
        return PhotoFeatures(
            self.smooth(fine), x.flatten(2).transpose(1, 2), summary, 20 + 20 * angle[:, 0], angle[:, 1].exp() * 10
        )


class VolumeNetwork(ModelMixin, ConfigMixin):
    """Photo and elevation to a volume of features, and features to answers for points.

    Args:
        photo_widths: channels of the photo's features at 64, 32, 16 and 8 pixels.
        fine: channels of the features that cells and points see.
        widths: channels of the volume at 32, 16 and 8 cells per side.
        blocks: pairs of convolutions at 16 cells on the way down, on the way up, and at 8 cells.
        attention: blocks of attention at 8 cells.
        heads: of the attention.
        summary: length of the vector that describes the whole photo.
        hidden: width of the perceptron for points.
    """

    @register_to_config
    def __init__(
        self,
        photo_widths: tuple[int, ...] = (32, 64, 128, 192),
        fine: int = 32,
        widths: tuple[int, int, int] = (32, 96, 192),
        blocks: tuple[int, int, int] = (1, 2, 2),
        attention: int = 1,
        heads: int = 4,
        summary: int = 256,
        hidden: int = 96,
    ) -> None:
        super().__init__()
        self.encoder = PhotoEncoder(tuple(photo_widths), fine, summary)
        self.told = nn.Linear(summary + 3, summary)
        seen, (narrow, middle, deep) = fine + 4 + 5, widths
        self.thin = nn.Conv3d(seen, narrow, 1)
        self.lift = nn.Conv3d(seen, middle, 2, stride=2)
        self.before = nn.ModuleList(Residual3d(middle, summary) for _ in range(blocks[0]))
        self.down = nn.Conv3d(middle, deep, 2, stride=2)
        self.deepest = nn.ModuleList(Residual3d(deep, summary) for _ in range(blocks[2]))
        self.attending = nn.ModuleList(PhotoAttention(deep, heads) for _ in range(attention))
        self.token = nn.Linear(photo_widths[-1], deep)
        self.token_place = nn.Parameter(torch.randn(64, deep) * 0.02)
        self.cell_place = nn.Parameter(torch.randn(512, deep) * 0.02)
        self.up = nn.Conv3d(deep, middle * 8, 1)
        self.after = nn.ModuleList(Residual3d(middle, summary) for _ in range(blocks[1]))
        self.leave = nn.Conv3d(middle, narrow * 8, 1)
        self.last = nn.Conv3d(narrow, narrow, 3, padding=1)
        self.points = nn.Sequential(
            nn.Linear(narrow + fine + 4 + 4, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, 1 + 3 + 3 + 2),
        )  # fmt: skip
        nn.init.zeros_(self.points[-1].weight)
        nn.init.zeros_(self.points[-1].bias)

    def photo_features(self, photo: Float[Tensor, "B 4 128 128"]) -> PhotoFeatures:
        """What the photos show, without any knowledge of where they were taken from."""
        return self.encoder(photo)

    def volume(
        self, photo: Float[Tensor, "B 4 128 128"], seen: PhotoFeatures, elevation_deg: Float[Tensor, "B"]
    ) -> Float[Tensor, "B C 32 32 32"]:
        """Features of all cells of the volume; x, y, z are the last three axes in this order."""
        angle = torch.deg2rad(elevation_deg)
        told = torch.stack([angle * 2, angle.sin(), angle.cos()], dim=1).to(seen.summary.dtype)
        summary = functional.silu(self.told(torch.cat([seen.summary, told], dim=1)))
        cells = self._seen_by_cells(photo, seen, elevation_deg)
        x = self.lift(cells)
        for block in self.before:
            x = block(x, summary)
        deep = self.down(x)
        for block in self.deepest:
            deep = block(deep, summary)
        x = x + finer(self.up(self._attended(deep, seen.tokens)))
        for block in self.after:
            x = block(x, summary)
        x = functional.silu(self.thin(cells) + finer(self.leave(x)))
        return self.last(x.contiguous(memory_format=torch.channels_last_3d))

    def answers(
        self,
        photo: Float[Tensor, "B 4 128 128"],
        seen: PhotoFeatures,
        volume: Float[Tensor, "B C 32 32 32"],
        elevation_deg: Float[Tensor, "B"],
        points: Float[Tensor, "B N 3"],
    ) -> PointAnswers:
        """Occupancy and colour of points in the photo's frame."""
        pixels, depth = projected(points, elevation_deg)
        place = (points * (2 / SIDE)).flip(-1)[:, :, None, None]
        around = functional.grid_sample(volume.float(), place, padding_mode="border", align_corners=False)
        known = torch.cat([seen.fine.float(), functional.avg_pool2d(photo, 2)], dim=1)
        here = functional.grid_sample(known, pixels[:, :, None], padding_mode="border", align_corners=False)
        alpha = sampled(photo, pixels)[..., 3:]
        inputs = [around[..., 0, 0].transpose(1, 2), here[..., 0].transpose(1, 2), alpha, points * 2]
        said = self.points(torch.cat(inputs, dim=2)).float()
        return PointAnswers(said[..., 0], _colors(photo, pixels, said[..., 1:]))

    def _seen_by_cells(self, photo: Tensor, seen: PhotoFeatures, elevation_deg: Tensor) -> Tensor:
        centres = cell_centres(_CELLS, photo.device)
        pixels, depth = projected(centres.expand(len(photo), -1, 3), elevation_deg)
        # The nearest of the fine pixels is near enough: half a cell covers one.
        column, row = ((pixels + 1) * (_FINE / 2)).long().clamp(0, _FINE - 1).unbind(-1)
        index = row * _FINE + column + torch.arange(len(photo), device=photo.device)[:, None] * _FINE**2
        known = torch.cat([seen.fine, functional.avg_pool2d(photo, 2).to(seen.fine.dtype)], dim=1)
        table = known.permute(0, 2, 3, 1).reshape(-1, known.shape[1])
        place = torch.cat([centres * 2, centres.norm(dim=1, keepdim=True) * 2 - 1], dim=1).expand(len(photo), -1, 4)
        own = torch.cat([place, (depth[..., None] - 1.5) * 2], dim=-1).to(table.dtype)
        cells = torch.cat([functional.embedding(index, table), own], dim=-1)
        return cells.reshape(len(photo), _CELLS, _CELLS, _CELLS, -1).permute(0, 4, 1, 2, 3)

    def _attended(self, deep: Tensor, tokens: Tensor) -> Tensor:
        cells = deep.flatten(2).transpose(1, 2) + self.cell_place.to(deep.dtype)
        photo = self.token(tokens) + self.token_place.to(tokens.dtype)
        for block in self.attending:
            cells = block(cells, photo)
        return cells.transpose(1, 2).reshape(deep.shape)


def cell_centres(cells: int, device: torch.device) -> Float[Tensor, "N 3"]:
    """Of a cube of cells that fills the volume, x slowest."""
    steps = ((torch.arange(cells, device=device) + 0.5) / cells - 0.5) * SIDE
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).reshape(-1, 3)


def projected(
    points: Float[Tensor, "B N 3"], elevation_deg: Float[Tensor, "B"]
) -> tuple[Float[Tensor, "B N 2"], Float[Tensor, "B N"]]:
    """Where the photos show the points, from -1 to 1 across the image, and their depth."""
    cameras = Cameras.on_sphere(torch.zeros_like(elevation_deg), elevation_deg, size=2)
    pixels, depth = cameras.project_own(points)
    return pixels - 1, depth


def sampled(image: Float[Tensor, "B C H W"], place: Float[Tensor, "B N 2"]) -> Float[Tensor, "B N C"]:
    """Bilinear values at places from -1 to 1."""
    values = functional.grid_sample(image, place[:, :, None], padding_mode="border", align_corners=False)
    return values[..., 0].transpose(1, 2)


def _colors(photo: Tensor, pixels: Tensor, said: Float[Tensor, "B N 8"]) -> Float[Tensor, "B N 3"]:
    """A mixture of the photo's colour on the point's own ray, that of another place of the photo, and a free colour."""
    free, weights, offset = torch.sigmoid(said[..., :3]), said[..., 3:6].softmax(dim=-1), said[..., 6:]
    own, other = sampled(photo, pixels)[..., :3], sampled(photo, pixels + offset)[..., :3]
    return weights[..., :1] * own + weights[..., 1:2] * other + weights[..., 2:] * free
