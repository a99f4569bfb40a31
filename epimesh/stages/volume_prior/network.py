"""From one photo to occupancy and colour in one volume.

Every cell of the volume sees the pixel that it projects to (pixel-aligned features: Saito et al., "PIFu",
arXiv:1905.05172; Yu et al., "pixelNeRF", arXiv:2012.02190) and what a coarse guess of all views says of it. A
three-dimensional network makes one object of that.
"""

from typing import NamedTuple

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from epimesh import weights
from epimesh.cameras import Cameras
from epimesh.stages.volume_prior.evidence import EVIDENCE, evidence
from epimesh.stages.volume_prior.layers import Residual2d, Residual3d, finer
from epimesh.weights.loading import load_network

SIDE = 1.2  # of the volume, in scene units: photos that fill their frame reach beyond the unit cube
PIXELS = 128  # of the photo, per side
CELLS = 32  # of the features, per side of the volume; the occupancy has twice as many
_TAKEN_FOR_INSIDE = 0.55  # guessed coverage


class Volume(NamedTuple):
    """What the network makes of B photos. Cells fill the volume without margins; x, y, z are the last axes in order.

    Args:
        occupancy: logits; above 0 is inside.
        rgb: colours, 0 to 1, where the photo is not trusted.
        photo_share: how far a place has the colour of the photo's pixel on its ray, 0 to 1.
    """

    occupancy: Float[Tensor, "B 64 64 64"]
    rgb: Float[Tensor, "B 3 32 32 32"]
    photo_share: Float[Tensor, "B 1 32 32 32"]


class VolumeNetwork(ModelMixin, ConfigMixin):
    """Photo, elevation and coarse guess to a volume.

    Args:
        photo_widths: channels of the photo's features at 64, 32, 16 and 8 pixels.
        seen: channels of the features that cells see.
        widths: channels of the volume at 16, 8 and 4 cells per side.
        narrow: channels at 32 cells.
        blocks: pairs of convolutions at each of the three, on the way down and on the way up.
        summary: length of the vector that describes the whole photo.
    """

    @register_to_config
    def __init__(
        self,
        photo_widths: tuple[int, ...] | list[int] = (24, 48, 96, 128),
        seen: int = 24,
        widths: tuple[int, ...] | list[int] = (48, 96, 160),
        narrow: int = 16,
        blocks: int = 2,
        summary: int = 128,
    ) -> None:
        super().__init__()
        self.enter = nn.Conv2d(16 + 2, photo_widths[0], 3, padding=1)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), Residual2d(b))
            for a, b in zip(photo_widths[:-1], photo_widths[1:], strict=True)  # noqa: RUF007
        )
        self.sideways = nn.ModuleList(nn.Conv2d(width, seen, 1) for width in photo_widths)
        self.smooth = nn.Sequential(nn.SiLU(), nn.Conv2d(seen, seen, 3, padding=1))
        self.summarize = nn.Linear(2 * photo_widths[-1] + 4, summary)

        def stack(width: int) -> nn.ModuleList:
            return nn.ModuleList(Residual3d(width, summary) for _ in range(blocks))

        known = seen + 4 + 5 + EVIDENCE
        self.thin = nn.Conv3d(known, narrow, 1)
        self.lift = nn.Conv3d(known, widths[0], 2, stride=2)
        self.descent = nn.ModuleList(stack(width) for width in widths)
        self.down = nn.ModuleList(nn.Conv3d(widths[i], widths[i + 1], 2, stride=2) for i in range(2))
        self.up = nn.ModuleList(nn.Conv3d(widths[i + 1], widths[i] * 8, 1) for i in range(2))
        self.ascent = nn.ModuleList(stack(width) for width in widths[:2])
        self.leave = nn.Conv3d(widths[0], narrow * 8, 1)
        self.mix = nn.Sequential(
            nn.Conv3d(narrow, 2 * narrow, 3, padding=1), nn.SiLU(), nn.Conv3d(2 * narrow, 8 + 4, 1)
        )
        nn.init.zeros_(self.mix[2].weight)
        nn.init.zeros_(self.mix[2].bias)
        self.trust = nn.Parameter(torch.tensor(6.0))  # logits per unit of the guessed coverage

    def forward(
        self,
        photo: Float[Tensor, "B 4 128 128"],
        ring: Float[Tensor, "B 16 4 H W"],
        elevation_deg: Float[Tensor, "B"],
    ) -> Volume:
        """The volumes of B photos.

        Args:
            photo: colours on white with coverage.
            ring: a coarse guess of the ring of views, likewise; empty pictures where there is none.
            elevation_deg: of the photos' cameras.
        """
        features, summary = self._understood(photo, elevation_deg)
        given = ring[:, :, 3].amax((1, 2, 3)) > 0  # whether there is a guess at all
        guessed = torch.zeros(len(photo), CELLS**3, EVIDENCE, device=photo.device)
        guessed[given] = evidence(ring[given], cell_centres(CELLS, photo.device))
        cells = self._known_of_cells(photo, features, guessed, elevation_deg)
        mixed = self.mix(functional.silu(self.thin(cells) + self._made_one(cells, summary))).float()
        third = guessed[..., 1].reshape(len(photo), 1, CELLS, CELLS, CELLS)
        third = functional.interpolate(third, scale_factor=2.0, mode="trilinear")[:, 0]
        said = self.trust * (third - _TAKEN_FOR_INSIDE * given.float()[:, None, None, None])
        return Volume(
            occupancy=finer(mixed[:, :8])[:, 0] + said,
            rgb=mixed[:, 8:11].sigmoid(),
            photo_share=mixed[:, 11:].sigmoid(),
        )

    def _understood(self, photo: Tensor, elevation_deg: Tensor) -> tuple[Tensor, Tensor]:
        """Features at half the photo's resolution, and a vector that describes the whole photo."""
        steps = torch.linspace(-1, 1, PIXELS // 2, device=photo.device)
        place = torch.stack(torch.meshgrid(steps, steps, indexing="ij")).expand(len(photo), -1, -1, -1)
        x = torch.cat([functional.pixel_unshuffle(photo, 2) * 2 - 1, place], dim=1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        scales = [x]
        for reduce in self.reduce:
            x = reduce(x)
            scales.append(x)
        features = self.sideways[-1](x)
        for scale, sideways in zip(scales[-2::-1], list(self.sideways)[-2::-1], strict=True):
            features = functional.interpolate(features, scale_factor=2.0) + sideways(scale)
        angle = torch.deg2rad(elevation_deg)
        told = torch.stack([elevation_deg / 30, angle.sin(), angle.cos(), torch.ones_like(angle)], dim=1)
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3)), told.to(x.dtype)], dim=1)
        return self.smooth(features), functional.silu(self.summarize(pooled))

    def _known_of_cells(self, photo: Tensor, features: Tensor, guessed: Tensor, elevation_deg: Tensor) -> Tensor:
        """What the photo and the guess say of every cell, and where it is."""
        centres = cell_centres(CELLS, photo.device)
        pixels, depth = projected(centres.expand(len(photo), -1, 3), elevation_deg)
        place = centres * (2 / SIDE)
        place = torch.cat([place, place.norm(dim=1, keepdim=True) - 1], dim=1).T.expand(len(photo), -1, -1)
        known = [
            sampled(features.float(), pixels),
            sampled(photo, pixels),
            place[:, :3],
            (depth[:, None] - 1.5) * (2 / SIDE),
            place[:, 3:],
            guessed.transpose(1, 2),
        ]
        cells = torch.cat(known, dim=1).reshape(len(photo), -1, CELLS, CELLS, CELLS)
        return cells.contiguous(memory_format=torch.channels_last_3d)

    def _made_one(self, cells: Tensor, summary: Tensor) -> Tensor:
        """The U-Net in three dimensions."""
        x = self.lift(cells)
        levels = []
        for level, blocks in enumerate(self.descent):
            x = self.down[level - 1](x) if level else x
            for block in blocks:
                x = block(x, summary)
            levels.append(x)
        for level in (1, 0):
            x = levels[level] + finer(self.up[level](x))
            for block in self.ascent[level]:
                x = block(x, summary)
        return finer(self.leave(x)).contiguous(memory_format=torch.channels_last_3d)


def occupancy_at(volume: Volume, points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B N"]:
    """Logits of points in the photos' frames, trilinear between cells."""
    return _trilinear(volume.occupancy[:, None], points)[:, 0]


def colors_at(
    volume: Volume,
    photo: Float[Tensor, "B C H W"],
    elevation_deg: Float[Tensor, "B"],
    points: Float[Tensor, "B N 3"],
) -> Float[Tensor, "B N 3"]:
    """Colours of points in the photos' frames: of the photo on their ray as far as it is trusted, else their own."""
    pixels, _ = projected(points, elevation_deg)
    rgb, share = _trilinear(volume.rgb, points), _trilinear(volume.photo_share, points)
    return (rgb + share * (sampled(photo, pixels)[:, :3] - rgb)).transpose(1, 2)


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


def sampled(image: Float[Tensor, "B C H W"], place: Float[Tensor, "B N 2"]) -> Float[Tensor, "B C N"]:
    """Bilinear values at places from -1 to 1."""
    return functional.grid_sample(image, place[:, :, None], padding_mode="border", align_corners=False)[..., 0]


def _trilinear(grid: Float[Tensor, "B C X X X"], points: Float[Tensor, "B N 3"]) -> Float[Tensor, "B C N"]:
    place = (points * (2 / SIDE)).flip(-1)[:, :, None, None]
    return functional.grid_sample(grid, place, padding_mode="border", align_corners=False)[..., 0, 0]
