"""What score distillation paints on: colours that are encoded in every step, or latents that are decoded at the end."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.distilling import RING, Easel
from epimesh.diffusion.score_distillation import saturated_share
from epimesh.diffusion.score_guide import ScoreGuide
from epimesh.photo import Photo
from epimesh.reconstruction.canvas import Canvas, MovingCanvas, colors_at, fitted
from epimesh.reconstruction.frozen_rays import BAND, SHARPNESS, STEP, frozen_rays
from epimesh.reconstruction.neus.kernel import Optics
from epimesh.surface import GridSurface

LATENT_RATE, COLOR_RATE = 0.1, 0.02
FIT = 64  # steps in which latents are made to show the surface, and the surface to show the latents


class CanvasEasel(Easel):
    """A canvas with what is asked of it.

    Args:
        canvas: what is painted.
        target: what the photo's own view should show, in the canvas's features.
    """

    def __init__(self, canvas: Canvas, target: Float[Tensor, "1 C H W"]) -> None:
        self.canvas = canvas
        self.target = target

    @property
    def parameters(self) -> list[Tensor]:
        """Those of the canvas."""
        return self.canvas.parameters

    def photo_error(self) -> Float[Tensor, ""]:
        """In the canvas's features."""
        return (self.canvas.photo()[0] - self.target).square().sum()


class ColorEasel(CanvasEasel):
    """Paints colours; every look at them goes through the encoder."""

    def __init__(self, surface: GridSurface, guide: ScoreGuide, photo: Photo, moves: bool) -> None:
        self._surface, self._guide = surface, guide
        canvas = color_canvas(surface, photo, guide.image_size, moves)
        super().__init__(canvas, photo.resized(guide.image_size).on_white()[None])

    def latents(self, numbers: Sequence[int]) -> Float[Tensor, "V C h w"]:
        """Encoded."""
        return self._guide.encode(torch.cat(self.canvas.views(numbers), dim=1))

    def saturation(self) -> float:
        """Of the surface."""
        return saturated_share(self.canvas.seen())

    @torch.no_grad()
    def clamp(self) -> None:
        """Colours stay between 0 and 1."""
        self.canvas.grid.clamp_(0, 1)

    def finished(self) -> GridSurface:
        """With the new colours, and where it moved, the new distances."""
        moved = self.canvas.distances.detach() if isinstance(self.canvas, MovingCanvas) else self._surface.distances
        return GridSurface(moved, self.canvas.grid.detach(), self._surface.radius)


class LatentEasel(CanvasEasel):
    """Paints latents, which are never encoded again; the surface takes the colours that they decode to."""

    def __init__(self, surface: GridSurface, guide: ScoreGuide, photo: Photo) -> None:
        self._surface, self._guide, self._photo = surface, guide, photo
        size, ring = guide.latent_size, Cameras.ring(RING, size=guide.image_size)
        with torch.no_grad():
            shown = surface.render(ring)
            latents = guide.encode(torch.cat([shown.rgb, shown.alpha], dim=1))
            own = guide.encode(photo.resized(guide.image_size).on_white_with_coverage()[None])
            empty = torch.ones(1, 4, guide.image_size, guide.image_size)
            empty[:, 3] = 0
            background = guide.encode(empty).mean(dim=(0, 2, 3))
        canvas = Canvas(
            # As coarse as the images are: cells that only some rays meet would be learned by those views alone.
            torch.zeros(latents.shape[1], *[size] * 3, requires_grad=True),
            frozen_rays(surface, ring.resized(size, size)),
            frozen_rays(surface, photo.camera.resized(size, size)),
            background,
            surface.radius,
        )
        fitted(canvas, latents, steps=FIT, rate=LATENT_RATE)
        super().__init__(canvas, own)

    def latents(self, numbers: Sequence[int]) -> Float[Tensor, "V C h w"]:
        """As they are painted."""
        return self.canvas.views(numbers)[0]

    def clamp(self) -> None:
        """Latents have no bounds."""

    def saturation(self) -> float:
        """Of the object's pixels in what the latents decode to."""
        decoded = self._decoded()
        return saturated_share(decoded[:, :3].movedim(1, -1)[decoded[:, 3] > 0.5])

    def finished(self) -> GridSurface:
        """With colours that show the decoded views and the photo."""
        canvas = color_canvas(self._surface, self._photo, self._guide.image_size, moves=False)
        fitted(canvas, self._decoded()[:, :3], steps=FIT, rate=COLOR_RATE)
        return GridSurface(self._surface.distances, canvas.grid.detach().clamp(0, 1), self._surface.radius)

    @torch.no_grad()
    def _decoded(self) -> Float[Tensor, "V 4 H W"]:
        return self._guide.decode(self.canvas.views(range(RING))[0])


def color_canvas(surface: GridSurface, photo: Photo, size: int, moves: bool) -> Canvas:
    """The colours of a surface, ready to be changed.

    Args:
        surface: which.
        photo: from whose camera it is looked at, too.
        size: of the images, in pixels.
        moves: whether its distances are changed as well.
    """
    rays = frozen_rays(surface, Cameras.ring(RING, size=size))
    own = frozen_rays(surface, photo.camera.resized(size, size))
    if not moves:
        colors = surface.colors.clone().requires_grad_()
        return Canvas(colors, rays, own, torch.ones(3), surface.radius)
    side = surface.distances.shape[0]
    cell = 2 * surface.radius / (side - 1)
    optics = Optics(SHARPNESS / cell, BAND * cell, STEP * cell, 0.5, 1.0, 1.0, 0.01)
    colors = colors_at(surface, side).clone().requires_grad_()
    distances = surface.distances.clone().requires_grad_()
    return MovingCanvas(colors, rays, own, torch.ones(3), surface.radius, distances, optics)
