"""From one photo to occupancy and colour of any point in one volume.

Every cell of the volume sees the pixel that it projects to (pixel-aligned features: Saito et al., "PIFu",
arXiv:1905.05172; Yu et al., "pixelNeRF", arXiv:2012.02190). A three-dimensional network makes one object of them, and a
small perceptron answers for single points from the cells around them and from the photo where they appear in it.
"""

import itertools
from typing import NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from epimesh import weights
from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import load_network
from epimesh.stages.volume_prior.guess import EVIDENCE, evidence
from epimesh.stages.volume_prior.layers import PhotoAttention, Residual2d, Residual3d, finer

SIDE = 1.28  # of the volume, in scene units: photos that fill their frame reach beyond the unit cube
PIXELS = 128  # of the photo, per side
CELLS = 16  # per side of the volume that is convolved; its features leave at twice as many
_COARSE, _FINE = 32, 64  # pixels per side of the features that cells and points see


class PhotoFeatures(NamedTuple):
    """What the network knows of B photos.

    Args:
        fine: for points.
        coarse: for cells.
        tokens: for the attention.
        summary: of the whole photo.
        elevation_deg: where the camera seems to stand.
        elevation_spread_deg: mean absolute error that the network expects of it.
    """

    fine: Float[Tensor, "B C 64 64"]
    coarse: Float[Tensor, "B D 32 32"]
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

    def __init__(self, widths: tuple[int, ...], coarse: int, fine: int, summary: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(16 + 2, widths[0], 3, padding=1)
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual2d(b), Residual2d(b))
            for a, b in itertools.pairwise(widths)
        )
        self.sideways = nn.ModuleList(nn.Conv2d(width, coarse, 1) for width in widths[1:])
        self.mixed = Residual2d(coarse)
        self.finest = nn.Conv2d(coarse, fine, 1)
        self.smooth = Residual2d(fine)
        self.sharp = nn.Conv2d(widths[0], fine, 1)
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
        coarse = self.sideways[-1](x)
        for scale, sideways in zip(scales[-2:0:-1], self.sideways[-2::-1], strict=True):
            coarse = functional.interpolate(coarse, scale_factor=2.0) + sideways(scale)
        coarse = self.mixed(coarse)
        fine = self.smooth(functional.interpolate(self.finest(coarse), scale_factor=2.0) + self.sharp(scales[0]))
        summary = self.summary(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))
        angle = self.elevation(summary).float()
        tokens = x.flatten(2).transpose(1, 2)
        return PhotoFeatures(fine, coarse, tokens, summary, 20 + 20 * angle[:, 0], angle[:, 1].exp() * 10)


class VolumeNetwork(ModelMixin, ConfigMixin):
    """Photo and elevation to a volume of features, and features to answers for points.

    Args:
        photo_widths: channels of the photo's features at 64, 32, 16 and 8 pixels.
        coarse: channels of the features that cells see.
        fine: channels of those that points see.
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
        coarse: int = 64,
        fine: int = 32,
        widths: tuple[int, int, int] = (24, 64, 192),
        blocks: tuple[int, int, int] = (1, 2, 2),
        attention: int = 1,
        heads: int = 4,
        summary: int = 256,
        hidden: int = 96,
    ) -> None:
        super().__init__()
        self.encoder = PhotoEncoder(tuple(photo_widths), coarse, fine, summary)
        self.told = nn.Linear(summary + 3, summary)
        narrow, middle, deep = widths
        self.lift = nn.Conv3d(coarse + 4 + 5 + EVIDENCE, middle, 1)
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
        self.points = nn.Sequential(
            nn.Linear(narrow + fine + 4 + 4 + EVIDENCE, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, 1 + 3 + 3 + 2),
        )  # fmt: skip
        self.trust = nn.Parameter(torch.tensor(6.0))  # logits per unit of the guessed coverage
        nn.init.zeros_(self.points[-1].weight)
        nn.init.zeros_(self.points[-1].bias)

    def photo_features(self, photo: Float[Tensor, "B 4 128 128"]) -> PhotoFeatures:
        """What the photos show, without any knowledge of where they were taken from."""
        return self.encoder(photo)

    def volume(
        self,
        photo: Float[Tensor, "B 4 128 128"],
        ring: Float[Tensor, "B 16 4 H W"],
        seen: PhotoFeatures,
        elevation_deg: Float[Tensor, "B"],
    ) -> Float[Tensor, "B C 32 32 32"]:
        """Features of all cells of the volume; x, y, z are the last three axes in this order.

        Args:
            photo: colours on white with coverage.
            ring: a coarse guess of the ring of views, likewise; empty pictures where there is none.
            seen: features of the photo.
            elevation_deg: of the photo's camera.
        """
        angle = torch.deg2rad(elevation_deg)
        told = torch.stack([angle * 2, angle.sin(), angle.cos()], dim=1).to(seen.summary.dtype)
        summary = functional.silu(self.told(torch.cat([seen.summary, told], dim=1)))
        x = self.lift(self._seen_by_cells(photo, ring, seen, elevation_deg))
        for block in self.before:
            x = block(x, summary)
        deep = self.down(x)
        for block in self.deepest:
            deep = block(deep, summary)
        x = x + finer(self.up(self._attended(deep, seen.tokens)))
        for block in self.after:
            x = block(x, summary)
        return finer(self.leave(x))

    def answers(
        self,
        photo: Float[Tensor, "B 4 128 128"],
        ring: Float[Tensor, "B 16 4 H W"],
        seen: PhotoFeatures,
        volume: Float[Tensor, "B C 32 32 32"],
        elevation_deg: Float[Tensor, "B"],
        points: Float[Tensor, "B N 3"],
    ) -> PointAnswers:
        """Occupancy and colour of points in the photo's frame."""
        pixels, _ = projected(points, elevation_deg)
        place = (points * (2 / SIDE)).flip(-1)[:, :, None, None]
        around = functional.grid_sample(volume.float(), place, padding_mode="border", align_corners=False)
        known = torch.cat([seen.fine.float(), functional.avg_pool2d(photo, 2)], dim=1)
        here = functional.grid_sample(known, pixels[:, :, None], padding_mode="border", align_corners=False)
        alpha = sampled(photo, pixels)[..., 3:]
        guessed = evidence(ring, points)
        inputs = [around[..., 0, 0].transpose(1, 2), here[..., 0].transpose(1, 2), alpha, points * 2, guessed]
        said = self.points(torch.cat(inputs, dim=2)).float()
        there = (ring[:, :, 3].amax((1, 2, 3)) > 0).float()[:, None]  # whether there is a guess at all
        occupancy = said[..., 0] + self.trust * (guessed[..., 1] - 0.5 * there)
        return PointAnswers(occupancy, _colors(photo, pixels, said[..., 1:]))

    def _seen_by_cells(self, photo: Tensor, ring: Tensor, seen: PhotoFeatures, elevation_deg: Tensor) -> Tensor:
        centres = cell_centres(CELLS, photo.device)
        pixels, depth = projected(centres.expand(len(photo), -1, 3), elevation_deg)
        # The nearest pixel is near enough: a cell covers two by two of them.
        column, row = ((pixels + 1) * (_COARSE / 2)).long().clamp(0, _COARSE - 1).unbind(-1)
        index = row * _COARSE + column + torch.arange(len(photo), device=photo.device)[:, None] * _COARSE**2
        known = torch.cat([seen.coarse, functional.avg_pool2d(photo, 4).to(seen.coarse.dtype)], dim=1)
        table = known.permute(0, 2, 3, 1).reshape(-1, known.shape[1])
        place = torch.cat([centres * 2, centres.norm(dim=1, keepdim=True) * 2 - 1], dim=1).expand(len(photo), -1, 4)
        own = torch.cat([place, (depth[..., None] - 1.5) * 2], dim=-1).to(table.dtype)
        guessed = evidence(ring, centres.expand(len(photo), -1, 3)).to(table.dtype)
        cells = torch.cat([functional.embedding(index, table), own, guessed], dim=-1)
        return cells.reshape(len(photo), CELLS, CELLS, CELLS, -1).permute(0, 4, 1, 2, 3)

    def _attended(self, deep: Tensor, tokens: Tensor) -> Tensor:
        cells = deep.flatten(2).transpose(1, 2) + self.cell_place.to(deep.dtype)
        photo = self.token(tokens) + self.token_place.to(tokens.dtype)
        for block in self.attending:
            cells = block(cells, photo)
        return cells.transpose(1, 2).reshape(deep.shape)


def load_volume_network(source: str) -> VolumeNetwork:
    """The network in a weights folder.

    Raises:
        WeightsNotFound: there is no such folder.
        BadWeights: it is damaged or holds another model.
    """
    network = load_network(VolumeNetwork, weights.resolve(source)).requires_grad_(False)
    assert isinstance(network, VolumeNetwork)
    return network


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
