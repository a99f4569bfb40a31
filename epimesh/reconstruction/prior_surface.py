"""The surface of a prior as it is."""

from dataclasses import dataclass

from epimesh.errors import BadInput
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Reconstructor, SurfacePrior
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface
from epimesh.views import Views


@dataclass(frozen=True, kw_only=True)
class PriorSurface(Reconstructor):
    """What a prior makes of the photo; the views are not looked at.

    Args:
        prior: makes a surface of the photo.
    """

    prior: SurfacePrior

    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> GridSurface:
        """The prior's surface.

        Raises:
            BadInput: there is no photo.
        """
        if photo is None:
            raise BadInput(
                "PriorSurface makes a surface of one photo, but only posed views were given.\n"
                "Use another reconstruction for them: --reconstruct NeuS"
            )
        surface = self.prior(photo, runtime=runtime)
        runtime.done_with(self.prior)
        return surface
