"""The whole house on one page: which stage hands what to which."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from epimesh.artifact import Artifact
from epimesh.errors import BadInput, StageMismatch
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
from epimesh.pipeline.given_photo import GivenPhoto, photo_file
from epimesh.pipeline.parser import as_arguments, pipeline_from
from epimesh.pipeline.preset_file import SLOTS
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
    def from_preset(cls, *names: str, **settings: object) -> "ImageTo3D":
        """The pipeline that a preset describes.

        Args:
            names: of presets or YAML files; later ones override earlier ones.
            settings: steps, faces, texture_size, elevation, mask; or any setting of a stage with its slot, such as
                `**{"views.steps": 20}`.

        Raises:
            BadInput: an unknown preset or setting, or a value of the wrong kind.
        """
        return pipeline_from(cls, [*(f"--preset={name}" for name in names), *as_arguments(settings)])

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

    def __call__(
        self,
        photo: GivenPhoto,
        out: str | Path | None = None,
        runtime: Runtime | None = None,
        *,
        seed: int | None = None,
        device: str | None = None,
    ) -> Mesh:
        """The textured mesh of the object in a photo. `mesh.export("chair.glb")` writes it.

        Args:
            photo: a path, the bytes of a picture file, a PIL image, an array [H, W, 3 or 4] or a tensor [3 or 4, H, W].
            out: a folder that keeps what every stage makes, so that the next call goes on there; None keeps nothing.
            runtime: how to compute; the default takes a GPU where there is one.
            seed: overrides that of `runtime`. The same seed gives the same mesh.
            device: overrides that of `runtime`: "cpu", "cuda", "cuda:1", "mps".

        Raises:
            EpimeshError: the photo cannot be read, weights are missing, or a stage made nothing usable.
        """
        mesh = self.run_until("texture", photo, out, runtime, seed=seed, device=device)
        assert isinstance(mesh, Mesh)
        return mesh

    def run_until(
        self,
        slot: str,
        photo: GivenPhoto,
        out: str | Path | None = None,
        runtime: Runtime | None = None,
        *,
        seed: int | None = None,
        device: str | None = None,
    ) -> Artifact:
        """What the stage of a slot makes of a photo, and no stage after it: "decode" gives the imagined `Views`.

        The other arguments are those of a call.

        Raises:
            BadInput: there is no such slot, or nothing fills it.
        """
        if slot not in SLOTS or getattr(self, slot) is None:
            filled = [name for name in SLOTS if getattr(self, name) is not None]
            raise BadInput(f"There is no slot '{slot}', or nothing fills it.\nExpected one of: {', '.join(filled)}.")
        usual = runtime or Runtime()
        computes = replace(usual, seed=usual.seed if seed is None else seed, device=device or usual.device)
        with photo_file(photo) as image:
            workspace = None if out is None else Workspace(Path(out).expanduser())
            run = Recorder(workspace, computes, photo_key(image))
            return next(made for made in self.steps(image, run) if run.records[-1].slot == slot)

    @contextmanager
    def loaded(self, runtime: Runtime | None = None) -> Iterator["Callable[..., Mesh]"]:
        """For many photos: within the block weights are loaded once, and dropped at its end.

        with pipeline.loaded() as make_mesh:
            for photo in photos:
                make_mesh(photo).export(f"{photo.stem}.glb")
        """
        try:
            yield partial(self, runtime=replace(runtime or Runtime(), keep_models=True))
        finally:
            self.release()

    def release(self) -> None:
        """Drops the weights that stages hold."""
        for slot in SLOTS:
            if (stage := getattr(self, slot)) is not None:
                stage.release()


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
