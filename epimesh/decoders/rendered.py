"""Draws the views of a surface prior instead of decoding them: nothing is lost on the way."""

from dataclasses import dataclass

from epimesh.errors import BadInput
from epimesh.pipeline.contracts import SurfacePrior, ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views


@dataclass(frozen=True, kw_only=True)
class RenderedPrior(ViewDecoder):
    """The views that the latents stand for, drawn from the surface that a prior makes of the photo.

    Args:
        prior: that the latents' generator has drawn them from.
        size: of the views, in pixels per side.
        latent_space: of the latents, which are not looked at.
    """

    prior: SurfacePrior
    size: int = 256
    latent_space: str = "patch"

    def __post_init__(self) -> None:
        if not 32 <= self.size <= 2048:
            raise BadInput(f"size is {self.size} pixels, expected 32 to 2048.\nUse 256 unless you know better.")

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        """Views with depth and normals."""
        surface = self.prior(latents.photo, runtime=runtime)
        runtime.done_with(self.prior)
        return surface.render(latents.cameras.resized(self.size, self.size))
