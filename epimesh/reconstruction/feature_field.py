"""Feature fields: maps of any features of posed views, carried by a surface that is frozen.

A field is asked at points or drawn from cameras; it is composited with the weights of colour. It is good for what is
smooth and the same from all sides: attention, parts, semantics. Latents of an autoencoder are neither: a field of them
keeps only low frequencies, and decodes to blur (docs/neural-extrapolation.md has the measurement).

The report's distortion loss is no option here: it depends on nothing but the weights, so on a frozen surface it has no
derivative. Its rows in the report differ from those without it by chance.

Source: Jambon, ETH Zurich (2023), chapter 4; Mildenhall et al., "NeRF" (2020).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, StageMismatch
from epimesh.reconstruction.frozen_rays import FrozenRays, frozen_rays
from epimesh.surface import GridSurface, trilinear

Kind = Literal["simple", "dual", "grid"]
FREQUENCIES, DIRECTION_FREQUENCIES = 8, 2
WIDTH, DEPTH, SKIP = 256, 8, 4  # NeRF's own


def encoded(points: Float[Tensor, "N 3"], frequencies: int) -> Float[Tensor, "N E"]:
    """The points and their sines and cosines at doubling frequencies."""
    scaled = points[:, None] * (torch.pi * 2.0 ** torch.arange(frequencies))[:, None]
    return torch.cat([points, scaled.sin().flatten(1), scaled.cos().flatten(1)], dim=1)


class GridHead(nn.Module):
    """Features on a regular grid, trilinear in between: what fits this project's speed.

    Args:
        channels: of the features.
        side: samples along each axis.
    """

    def __init__(self, channels: int, side: int) -> None:
        super().__init__()
        self.grid = nn.Parameter(torch.zeros(channels, side, side, side))

    def forward(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N C"]:
        """At points in [-1, 1]^3; does not depend on the direction."""
        return trilinear(self.grid, points)


class SimpleHead(nn.Module):
    """One linear layer on the hidden layer of a network that learned the colours.

    Args:
        colors: a network of colours, which is frozen.
        channels: of the features.
    """

    def __init__(self, colors: "DualHead", channels: int) -> None:
        super().__init__()
        self.colors = colors.requires_grad_(False)
        self.head = nn.Linear(WIDTH, channels)

    def forward(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N C"]:
        """At points in [-1, 1]^3."""
        return self.head(self.colors.hidden(points))


class DualHead(nn.Module):
    """A network of its own, of the size of NeRF's: 8 layers of 256 with a skip.

    Args:
        channels: of the features.
        directional: whether the features may depend on the direction.
    """

    def __init__(self, channels: int, directional: bool = False) -> None:
        super().__init__()
        self.directional = directional
        wide = 3 * (2 * FREQUENCIES + 1)
        sizes = [wide, *[WIDTH + (wide if layer == SKIP else 0) for layer in range(1, DEPTH)]]
        self.layers = nn.ModuleList(nn.Linear(size, WIDTH) for size in sizes)
        self.out = nn.Linear(WIDTH + (3 * (2 * DIRECTION_FREQUENCIES + 1) if directional else 0), channels)

    def hidden(self, points: Float[Tensor, "N 3"]) -> Float[Tensor, "N W"]:
        """The last shared layer."""
        given = x = encoded(points, FREQUENCIES)
        for number, layer in enumerate(self.layers):
            x = torch.relu(layer(torch.cat([x, given], dim=1) if number == SKIP else x))
        return x

    def forward(self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"]) -> Float[Tensor, "N C"]:
        """At points in [-1, 1]^3 seen along unit directions."""
        hidden = self.hidden(points)
        if self.directional:
            hidden = torch.cat([hidden, encoded(directions, DIRECTION_FREQUENCIES)], dim=1)
        return self.out(hidden)


@dataclass(frozen=True, kw_only=True)
class FeatureFieldFit:
    """How a field is learned.

    Args:
        kind: grid (quick), dual (a network of its own), or simple (a linear head on a network of the colours).
        side: of the grid; about as many samples as the maps have pixels, or cells stay that no ray meets.
        directional: dual only: features may depend on the direction.
        steps: of Adam; each looks at all rays of one view.
        rate: of Adam.

    Raises:
        BadInput: the settings do not go together.
    """

    kind: Kind = "grid"
    side: int = 48
    directional: bool = False
    steps: int = 200
    rate: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in ("grid", "dual", "simple") or self.side < 2 or self.steps < 1 or self.rate <= 0:
            raise BadInput(
                f"kind is {self.kind}, side {self.side}, steps {self.steps} and rate {self.rate}.\n"
                "Expected grid, dual or simple, at least 2 samples per side, one step, and a positive rate."
            )
        if self.directional and self.kind != "dual":
            raise BadInput(f"directional is on, but a {self.kind} field knows no directions.\nUse kind dual.")


@dataclass(frozen=True, eq=False)
class FeatureField:
    """Features of a surface.

    Args:
        head: tells the features at places.
        surface: frozen.
        background: features where nothing is.
    """

    head: nn.Module
    surface: GridSurface
    background: Float[Tensor, "C"]

    @torch.no_grad()
    def query(
        self, points: Float[Tensor, "N 3"], directions: Float[Tensor, "N 3"] | None = None
    ) -> Float[Tensor, "N C"]:
        """Features at world points, seen along unit directions (by default straight down)."""
        down = torch.tensor([0.0, 0.0, -1.0]).expand_as(points)
        found: Tensor = self.head(points / self.surface.radius, down if directions is None else directions)
        return found

    @torch.no_grad()
    def render(self, cameras: Cameras) -> Float[Tensor, "V C H W"]:
        """Maps of the features, an image's size each."""
        return self.composited(frozen_rays(self.surface, cameras))

    def composited(self, rays: FrozenRays) -> Float[Tensor, "V C H W"]:
        """The same along rays, differentiable by the features."""
        return rays.composite(self.head(rays.points / self.surface.radius, rays.directions), self.background)

    def similarity(self, points: Float[Tensor, "N 3"], feature: Float[Tensor, "C"]) -> Float[Tensor, "N"]:
        """Cosine between the features at world points and a given one: a heat map of what is like it."""
        return torch.nn.functional.cosine_similarity(self.query(points), feature[None], dim=1, eps=1e-12)


def feature_field(
    surface: GridSurface,
    maps: Float[Tensor, "V C h w"],
    cameras: Cameras,
    how: FeatureFieldFit,
    *,
    background: Float[Tensor, "C"],
    generator: torch.Generator | None = None,
) -> FeatureField:
    """Learns a field that shows these maps. The surface is not changed.

    Args:
        surface: where the features are.
        maps: of the views.
        cameras: of the views, for images of any size of the maps' shape.
        how: it is learned.
        background: features where nothing is; pixels beside the object should have them.
        generator: of the order of views.

    Raises:
        StageMismatch: maps and cameras do not belong together.
    """
    rays = frozen_rays(surface, _of_maps(cameras, maps))
    field = FeatureField(_new_head(how, surface, rays, maps.shape[1]), surface, background)
    learned = [parameter for parameter in field.head.parameters() if parameter.requires_grad]
    _learn(field, rays, maps, learned, how, generator)
    return field


def _of_maps(cameras: Cameras, maps: Float[Tensor, "V C h w"]) -> Cameras:
    height, width = maps.shape[-2:]
    if len(maps) != len(cameras) or height * cameras.width != width * cameras.height:
        raise StageMismatch(
            f"There are {len(maps)} maps of {width} x {height}, and {len(cameras)} cameras of {cameras.width} x "
            f"{cameras.height}.\nExpected a map for every camera, of the same shape as its image at any resolution."
        )
    return cameras.resized(height, width)


def _new_head(how: FeatureFieldFit, surface: GridSurface, rays: FrozenRays, channels: int) -> nn.Module:
    if how.kind == "grid":
        return GridHead(channels, how.side)
    if how.kind == "dual":
        return DualHead(channels, how.directional)
    colors = FeatureField(DualHead(3), surface, torch.ones(3))
    shown = rays.composite(trilinear(surface.colors, rays.points / surface.radius))
    _learn(colors, rays, shown, list(colors.head.parameters()), how, None)
    assert isinstance(colors.head, DualHead)
    return SimpleHead(colors.head, channels)


def _learn(
    field: FeatureField,
    rays: FrozenRays,
    maps: Float[Tensor, "V C h w"],
    learned: list[nn.Parameter],
    how: FeatureFieldFit,
    generator: torch.Generator | None,
) -> None:
    optimizer = torch.optim.Adam(learned, lr=how.rate)
    of_views = [rays.of_views([view]) for view in range(len(maps))]
    for _ in range(how.steps):
        view = int(torch.randint(len(maps), (), generator=generator))
        error = field.composited(of_views[view]) - maps[view : view + 1]
        optimizer.zero_grad()
        error.square().mean().backward()
        optimizer.step()
