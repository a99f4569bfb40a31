"""The slots of the pipeline: what every stage is given and what it makes.

A stage is a frozen dataclass whose fields are its settings; their `Args:` text is the command line's help. Making one
costs nothing: weights are loaded on the first call and dropped by `release()`.
"""

from abc import ABC, abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from jaxtyping import Float
from torch import Tensor

from epimesh.artifact import Artifact
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.runtime import Runtime
from epimesh.surface import GridSurface, Surface
from epimesh.views import LatentViews, Views

Made = TypeVar("Made", bound=Artifact, covariant=True)


class Stage(ABC, Generic[Made]):
    """One step of the pipeline.

    Attributes:
        makes: the class that a saved output is read back as.
        version: raised when the code of a stage changes what it makes from the same settings, so that saved outputs
            of older versions are not reused.
        weights_settings: the settings that name weights (`bundled:`, `hub:` or a folder; or the Path of one file).
            Their content counts in the fingerprint, and their licences are listed with the result.
        weights_parts: the folders that have to be in the weights, alternative names separated by |.
    """

    makes: ClassVar[type[Artifact]]
    version: ClassVar[int] = 1
    weights_settings: ClassVar[tuple[str, ...]] = ("weights",)
    weights_parts: ClassVar[tuple[str, ...]] = ()

    def release(self) -> None:
        """Drops everything that was loaded or cached, here and in nested stages, but not the settings."""
        own = settings(self)
        for name in set(self.__dict__) - set(own):
            del self.__dict__[name]
        for value in own.values():
            if isinstance(value, Stage):
                value.release()


class PhotoReader(Stage[Photo]):
    """Finds the object in an image file."""

    makes: ClassVar[type[Artifact]] = Photo

    @abstractmethod
    def __call__(self, image: Path, *, runtime: Runtime) -> Photo: ...


class SurfacePrior(Stage[GridSurface]):
    """Knows what an object probably looks like from all sides, from the photo alone. Fills no slot: stages hold one."""

    makes: ClassVar[type[Artifact]] = GridSurface

    @abstractmethod
    def __call__(self, photo: Photo, *, runtime: Runtime) -> GridSurface: ...


class ViewGenerator(Stage[LatentViews]):
    """Imagines the object from other viewpoints."""

    makes: ClassVar[type[Artifact]] = LatentViews
    latent_space: str

    @abstractmethod
    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews: ...


class ViewDecoder(Stage[Views]):
    """Turns latents into images."""

    makes: ClassVar[type[Artifact]] = Views
    latent_space: str

    @abstractmethod
    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views: ...


class CoverageFinder(Stage[Views]):
    """Tells objects from the white they stand on, for decoders of latents that hold no coverage."""

    makes: ClassVar[type[Artifact]] = Views

    @abstractmethod
    def __call__(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V 1 H W"]: ...


class Reconstructor(Stage[Surface]):
    """Finds the surface that the views show. The photo, where there is one, is a further view, and a true one."""

    makes: ClassVar[type[Artifact]] = GridSurface

    @abstractmethod
    def __call__(self, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface: ...


class SurfaceRefiner(Stage[Surface]):
    """Improves a surface."""

    makes: ClassVar[type[Artifact]] = GridSurface

    @abstractmethod
    def __call__(self, surface: Surface, views: Views, photo: Photo | None, *, runtime: Runtime) -> Surface: ...


class Mesher(Stage[Mesh]):
    """Turns a surface into triangles."""

    makes: ClassVar[type[Artifact]] = Mesh

    @abstractmethod
    def __call__(self, surface: Surface, *, runtime: Runtime) -> Mesh: ...


class Texturer(Stage[Mesh]):
    """Gives a mesh a texture."""

    makes: ClassVar[type[Artifact]] = Mesh

    @abstractmethod
    def __call__(self, mesh: Mesh, views: Views, photo: Photo | None, *, runtime: Runtime) -> Mesh: ...


def settings(stage: Stage[Any]) -> dict[str, Any]:
    """The fields of a stage by name."""
    return {field.name: getattr(stage, field.name) for field in fields(stage)}  # type: ignore[arg-type]
