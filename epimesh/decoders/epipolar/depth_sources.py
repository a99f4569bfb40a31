"""Where the rough depth comes from, that the epipolar decoder needs: a quick reconstruction, or a file."""

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.errors import BadInput
from epimesh.pipeline.contracts import Reconstructor, Stage, ViewDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views


class DepthSource(Stage[Views]):
    """Knows how far away the object is in every view."""

    makes: ClassVar[type[Artifact]] = Views

    @abstractmethod
    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Float[Tensor, "V H W"]:
        """Camera z at the size of the images, in scene units; infinite where nothing is or nothing is known."""


@dataclass(frozen=True, kw_only=True)
class CoarseDepth(DepthSource):
    """Decodes plainly, reconstructs quickly, and looks at the result from all views.

    Args:
        decode: the decoder of the first pass, in which views do not see each other.
        reconstruct: finds the rough surface; its settings should be quick ones.

    Source: Tang et al. (arXiv:2408.14016), inference: a first reconstruction gives the depth of the second decoding.
    """

    decode: ViewDecoder
    reconstruct: Reconstructor

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Float[Tensor, "V H W"]:
        """Depth of the rough surface."""
        views = self.decode(latents, runtime=runtime)
        runtime.done_with(self.decode)
        return self.shown_by(views, latents, runtime=runtime)

    def shown_by(self, views: Views, latents: LatentViews, *, runtime: Runtime) -> Float[Tensor, "V H W"]:
        """Depth of the rough surface that these views show, seen from the cameras of the latents."""
        surface = self.reconstruct(views, latents.photo, runtime=runtime)
        runtime.done_with(self.reconstruct)
        depth = surface.render(latents.cameras).depth
        assert depth is not None
        return depth


@dataclass(frozen=True, kw_only=True)
class GivenDepth(DepthSource):
    """Reads depth that is known already, for instance that of a finished run or of a renderer.

    Args:
        file: a safetensors file with a tensor `depth`, such as `tensors.safetensors` of saved `Views`. It must have the
            views of the latents, in the same order.
    """

    file: Path

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Float[Tensor, "V H W"]:
        """The depth in the file.

        Raises:
            BadInput: there is no such file, or no three-dimensional depth in it.
        """
        try:
            with safe_open(self.file, "pt") as stored:
                depth = stored.get_tensor("depth").float()
        except (OSError, SafetensorError) as error:
            raise BadInput(
                f"{self.file} holds no depth ({error}).\n"
                "Expected a safetensors file with a tensor 'depth', such as tensors.safetensors of saved views."
            ) from error
        if depth.dim() != 3:
            raise BadInput(
                f"The depth in {self.file} has the shape {tuple(depth.shape)}.\n"
                "Expected views x height x width, camera z in scene units."
            )
        return depth
