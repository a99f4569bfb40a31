"""What the small epipolar decoder and its variants are asked: latents, rough depth, and how each variant answers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import torch
from hero_cases import SIZE, reduced
from jaxtyping import Float
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.objects import read_manifest
from epimesh.decoders import CoarseDepth, VaeDecoder
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.evaluation.ground_truth.gso import read_gso
from epimesh.evaluation.ground_truth.stored_truth import StoredTruth
from epimesh.evaluation.ground_truth.truth_object import RenderedObject, Subject, TruthObject
from epimesh.evaluation.metrics.visible import depth_maps
from epimesh.photo import Photo
from epimesh.reconstruction import NeuS
from epimesh.runtime import Runtime
from epimesh.stages import SmallSyncDreamer
from epimesh.training.epipolar.small_variants import VARIANTS, Variant
from epimesh.views import LatentViews, Views
from epimesh.weights import resolve
from epimesh.weights.loading import load_network

T = TypeVar("T")
PHOTO_SIZE = 256
ELEVATION_DEG = 30.0
QUICK = NeuS(resolution=80, iterations=200, rays=2048, color_weight=0.1)
PLAIN = VaeDecoder(batch=16)
COARSE = CoarseDepth(decode=PLAIN, reconstruct=QUICK)


@dataclass(frozen=True)
class Trained:
    """Weights of a variant.

    Args:
        variant: how it decodes.
        folder: of the weights, or `bundled:NAME`.
    """

    variant: Variant
    folder: str

    @cached_property
    def network(self) -> SmallEpipolarVae:
        """The loaded network."""
        return load_network(SmallEpipolarVae, resolve(self.folder)).requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, latents: LatentViews, depth: Float[Tensor, "V H W"]) -> Views:
        """The views of one object."""
        photo = latents.photo.resized(SIZE)
        segments = self.variant.segments(self.network, latents.cameras, photo.camera, depth[None])
        rgba = self.network(latents.latents[None], segments, photo.on_white()[None])[0].clamp(0, 1)
        return Views(rgb=rgba[:, :3].clone(), alpha=rgba[:, 3:].clone(), cameras=latents.cameras)


def trained_variants(folder: Path, seed: int) -> dict[str, Trained]:
    """Those of a folder with subfolders NAME-SEED, in the order of the variants."""
    return {
        name: Trained(variant, str(folder / f"{name}-{seed}"))
        for name, variant in VARIANTS.items()
        if (folder / f"{name}-{seed}" / "config.json").is_file()
    }


def subjects(folder: Path | None, split: str, count: int, gso: Path | None, gso_count: int) -> list[Subject]:
    """Realistic objects of a folder with a manifest, and scanned ones, the first of each."""
    records = [] if folder is None else [one for one in read_manifest(folder, split) if one.realistic]
    scanned = [] if gso is None else read_gso(gso)
    return [*(RenderedObject(record) for record in spread(records, count)), *spread(scanned, gso_count)]


def spread(items: Sequence[T], count: int) -> list[T]:
    """So many of them, at equal distances, for neighbours in a list are often alike."""
    return [items[index * len(items) // count] for index in range(min(count, len(items)))]


def ring_views(truth: TruthObject) -> Views:
    """The true views at the size of the small generators, with depth."""
    ring = Cameras.ring(size=SIZE)
    if not isinstance(truth, StoredTruth):
        return truth.views(ring)
    return replace(reduced(truth.shown), depth=depth_maps(truth.mesh, ring))


def latents_of(views: Views, photo: Photo, seed: int) -> Iterator[tuple[str, LatentViews]]:
    """Encoded true views, and what the small SyncDreamer imagines of the photo."""
    encoded = PLAIN.autoencoder.encode(torch.cat([views.rgb, views.alpha], dim=1))
    yield "encoded", LatentViews(encoded, views.cameras, photo, "patch")
    yield "imagined", SmallSyncDreamer()(photo, runtime=Runtime("cpu", seed))
