"""The whole house on one page: which stage hands what to which."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from epimesh.artifact import Artifact
from epimesh.errors import StageMismatch
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import (
    Mesher,
    PhotoReader,
    Reconstructor,
    SurfaceRefiner,
    Texturer,
    ViewDecoder,
    ViewGenerator,
)
from epimesh.pipeline.fingerprint import file_fingerprint, fingerprint
from epimesh.pipeline.parser import pipeline_from
from epimesh.pipeline.recorder import Recorder
from epimesh.pipeline.workspace import Workspace
from epimesh.runtime import Runtime
from epimesh.views import Views


@dataclass(frozen=True, kw_only=True)
class ImageTo3D:
    """From one photo to a textured mesh. Every field is a slot that a preset fills with a stage.

    Args:
        read: finds the object in the image file.
        views: imagines it from other viewpoints, as latents.
        decode: turns the latents into images.
        reconstruct: finds the surface that the images show.
        mesh: turns the surface into triangles.
        texture: gives the triangles a texture.
        refine: improves the surface, or null.
    """

    read: PhotoReader
    views: ViewGenerator
    decode: ViewDecoder
    reconstruct: Reconstructor
    mesh: Mesher
    texture: Texturer
    refine: SurfaceRefiner | None = None

    def __post_init__(self) -> None:
        if self.views.latent_space != self.decode.latent_space:
            raise StageMismatch(
                f"views ({type(self.views).__name__}) makes '{self.views.latent_space}' latents, but "
                f"decode ({type(self.decode).__name__}) reads '{self.decode.latent_space}'.\n"
                "Choose a decoder of the same family, e.g. --decode VaeDecoder --decode.weights FOLDER."
            )

    @classmethod
    def from_preset(cls, *names: str) -> "ImageTo3D":
        """The pipeline that a preset describes; later presets (names or YAML files) override earlier ones."""
        return pipeline_from(cls, [f"--preset={name}" for name in names])

    def steps(self, image: Path, run: Recorder) -> Iterator[Artifact]:
        """Yields each stage's output as soon as it is there. Outputs kept by an earlier run are reused."""
        photo = run("read", self.read, image)
        yield photo

        latents = run("views", self.views, photo)
        yield latents

        views = run("decode", self.decode, latents)
        yield views

        yield from self.from_views(views, photo, run)

    def from_views(self, views: Views, photo: Photo | None, run: Recorder) -> Iterator[Artifact]:
        """The second half of the way, for people who have views: surface, mesh, textured mesh."""
        surface = run("reconstruct", self.reconstruct, views, photo)
        yield surface

        if self.refine is not None:
            surface = run("refine", self.refine, surface, views, photo)
            yield surface

        mesh = run("mesh", self.mesh, surface)
        yield mesh

        yield run("texture", self.texture, mesh, views, photo)

    def __call__(self, image: str | Path, out: str | Path, runtime: Runtime | None = None) -> Mesh:
        """The textured mesh of the object in `image`. What every stage makes is kept in the folder `out`."""
        runtime = runtime or Runtime()
        recorder = Recorder(Workspace(Path(out)), runtime, photo_key(Path(image)))
        *_, mesh = self.steps(Path(image), recorder)
        assert isinstance(mesh, Mesh)
        return mesh


def photo_key(image: Path) -> str:
    """What the first stage's key starts from: the content of the image file."""
    return file_fingerprint(image)


def views_key(views: Views) -> str:
    """What the key starts from when views are given: their content."""
    content = hashlib.sha256()
    for tensor in (views.rgb, views.alpha, views.cameras.world_to_camera, views.cameras.intrinsics):
        content.update(str(tuple(tensor.shape)).encode())
        content.update(memoryview(tensor.cpu().contiguous().numpy()).cast("B"))  # not copied: there may be a gigabyte
    return fingerprint(content.hexdigest(), views.cameras.orthographic)
