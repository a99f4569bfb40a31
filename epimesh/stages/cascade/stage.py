"""Cascade-Zero123: a generator whose own views prompt a second one, so that no view is a turn too far at once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.diffusion.autoencoder import KlAutoencoder
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages.zero123.network import PhotoAndPose, PhotoParts
from epimesh.stages.zero123.stage import Zero123
from epimesh.views import LatentViews

HIGHEST_DEG = 85.0  # nearby cameras do not climb over the pole
SAME_PLACE = 1e-3  # scene units
SAME_VIEW = (0.0, 0.0, 1.0, 0.0)  # no turn, as `Cameras.view_delta` says it
MARKER = (0.0, 0.0, 0.0, 0.0)  # which no turn is: it marks the attempt at the wanted view
CoarsePose = Literal["zeros", "identity"]


@runtime_checkable
class FreeCameras(Protocol):
    """A generator that makes any views, not only those of its own cameras."""

    def at(self, photo: Photo, cameras: Cameras, *, runtime: Runtime) -> LatentViews:
        """Latents of these views."""
        ...


@dataclass(frozen=True)
class Nearby:
    """Where a prompt is taken from, as a turn from the photo's camera.

    Args:
        azimuth_deg: counter-clockwise seen from above.
        elevation_deg: upward.
    """

    azimuth_deg: float
    elevation_deg: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CascadeZero123(Zero123):
    """A refiner of Zero-1-to-3's shape that is told of views which a base generator made of the same photo.

    Besides the photo's token it gets one for every nearby view and one for the base's own attempt at the wanted view.
    Nobody has published weights of such a refiner; train one as the paper does.

    Args:
        weights: of the refiner: a folder in the layout of a converted Zero-1-to-3.
        base: makes the prompts. Where its cameras are fixed, the nearest ones serve.
        nearby: where prompts are taken from. Further away they copy the base's mistakes.
        coarse_target: prompt with the base's attempt at each view, too.
        coarse_pose: what that token says of its pose: "zeros", as in the paper, or "identity" (no turn).
        views: how many views of the ring at elevation 30 degrees.
        steps: denoising steps; has to divide 1000.
        guidance: classifier-free guidance; 1 is none and half the work.
        eta: 0 is deterministic DDIM, 1 the published sampler of Zero-1-to-3.
        skip_noisiest: leave out the noisiest step, as the published sampler does (by an off-by-one).
        batch: how many views to denoise at once; lower it to save memory.
        attention: auto (torch's fused attention), sdpa (the same), or xformers (CUDA, with epimesh[xformers]).
        hero: Zero-to-Hero for the refiner, of which `use` says what is on; the base has its own.
        last_pose: "radius"; nobody has a refiner that was told the photo's polar angle.

    Source:
        Chen et al., "Cascade-Zero123: One Image to Highly Consistent 3D with Self-Prompted Nearby Views"
        (arXiv:2312.04424).
    """

    weights: str = field()  # no default: those of a single model know of one token
    base: ViewGenerator
    nearby: tuple[Nearby, ...] = (Nearby(45.0), Nearby(-45.0), Nearby(0.0, 30.0))
    coarse_target: bool = True
    coarse_pose: CoarsePose = "zeros"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.base.latent_space != self.latent_space:
            raise StageMismatch(
                f"base ({type(self.base).__name__}) makes '{self.base.latent_space}' latents, but prompts are decoded "
                f"as '{self.latent_space}'.\nChoose a base with published weights, e.g. Zero123."
            )

    def release(self) -> None:
        """Drops the base's weights, too."""
        super().release()
        self.base.release()

    def _told(self, photo: Photo, cameras: Cameras, runtime: Runtime) -> tuple[PhotoAndPose, PhotoAndPose]:
        """Tokens of the photo first, then of the attempt at the view, then of the nearby views."""
        from epimesh.stages.shared.photo_token import picture_of, zero123_image

        coarse, near = self._prompts(photo, cameras, runtime)
        self.base.release()  # before the refiner is loaded
        parts = self._photo_parts(runtime)
        told, own = self._of_photo(photo, cameras, parts, runtime)
        tokens = [told.joined(own).tokens]
        if coarse is not None:
            # The photo is the attempt at its own view.
            pictures = [*self._pictures(coarse, parts), zero123_image(picture_of(photo), cameras.width)]
            pose = torch.tensor(SAME_VIEW if self.coarse_pose == "identity" else MARKER).expand(len(pictures), 4)
            tokens.append(parts.token(self._embedded(pictures, parts), pose.to(runtime.device)))
        if near is not None:
            for number, embedding in enumerate(self._embedded(self._pictures(near, parts), parts)):
                camera = near.cameras[number]
                pose = torch.cat([camera.view_delta(cameras), camera.view_delta(photo.camera)]).to(runtime.device)
                tokens.append(parts.token(embedding.expand(len(pose), -1), pose))
        both = torch.cat([part.to(runtime.dtype) for part in tokens], dim=1)
        views = len(cameras)
        return PhotoAndPose(told.channels, both[:views]), PhotoAndPose(own.channels, both[views:])

    def _prompts(
        self, photo: Photo, cameras: Cameras, runtime: Runtime
    ) -> tuple[LatentViews | None, LatentViews | None]:
        """The base's attempts at the views, and its views near the photo, made in one call for all views.

        Raises:
            BadInput: it is to attempt views that its fixed cameras do not take.
        """
        near = nearby_cameras(photo, self.nearby, cameras.width) if self.nearby else None
        asked = [*([] if near is None else [near]), *([cameras] if self.coarse_target else [])]
        if not asked:
            return None, None
        given = runtime.apart("cascade base")
        if isinstance(self.base, FreeCameras):
            made = self.base.at(photo, Cameras.joined(asked), runtime=given)
        else:
            made = self.base(photo, runtime=given)
        if self.coarse_target and _apart(made.cameras, cameras).amin(dim=0).max() > SAME_PLACE:
            raise BadInput(
                f"coarse_target is on, but {type(self.base).__name__} does not take these {len(cameras)} views.\n"
                "Give the same number of views to both, or set coarse_target false."
            )
        coarse = _nearest(made, cameras) if self.coarse_target else None
        return coarse, None if near is None else self._near(made, near, runtime)

    def _near(self, made: LatentViews, wanted: Cameras, runtime: Runtime) -> LatentViews:
        found = _nearest(made, wanted)
        if (found.cameras.centres - wanted.centres).norm(dim=-1).max() > SAME_PLACE:
            azimuth, elevation = (angle.round().int().tolist() for angle in found.cameras.azimuth_elevation_deg())
            runtime.reporter.warn(
                f"{type(self.base).__name__} has fixed cameras; the nearest prompts are at azimuth {azimuth}, "
                f"elevation {elevation} degrees."
            )
        return found

    def _pictures(self, latents: LatentViews, parts: PhotoParts) -> list[Tensor]:
        """Images in [-1, 1], never rounded to 8 bits."""
        autoencoder, some = KlAutoencoder(parts.vae), latents.latents.to(parts.vae.device).split(self.batch)
        return [image[:3] * 2 - 1 for part in some for image in autoencoder.decode(part)]

    def _embedded(self, pictures: list[Tensor], parts: PhotoParts) -> Float[Tensor, "P D"]:
        from epimesh.stages.shared.photo_token import clip_pixels

        images = torch.stack([picture.to(parts.vae.device) for picture in pictures])
        return torch.cat([parts.encoder(clip_pixels(some)).image_embeds for some in images.split(self.batch)])


def nearby_cameras(photo: Photo, nearby: Sequence[Nearby], size: int) -> Cameras:
    """Turned away from the photo's camera, but not over the pole."""
    azimuth = torch.tensor([one.azimuth_deg for one in nearby])
    elevation = torch.tensor([photo.elevation_deg + one.elevation_deg for one in nearby])
    return Cameras.on_sphere(azimuth, elevation.clamp(-HIGHEST_DEG, HIGHEST_DEG), size=size)


def _apart(made: Cameras, wanted: Cameras) -> Float[Tensor, "M W"]:
    return torch.cdist(made.centres, wanted.centres)


def _nearest(made: LatentViews, wanted: Cameras) -> LatentViews:
    chosen = _apart(made.cameras, wanted).argmin(dim=0).tolist()
    return LatentViews(made.latents[chosen], made.cameras[chosen], made.photo, made.latent_space)
