"""A test of a generator that takes no time: tiny stages, a tiny mean object, coarse protocols."""

import tiny_stages
import torch

from epimesh.evaluation.baselines.mean_object import MeanObject
from epimesh.evaluation.metrics.shapes import ShapeProtocol
from epimesh.evaluation.protocols.evaluator import GeneratorProtocol
from epimesh.evaluation.protocols.generator import GeneratorTest
from epimesh.photo import Photo
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime
from epimesh.views import LatentViews

QUICK = ShapeProtocol(thresholds=(0.02,), samples=1000, resolutions=(24,))
PIPELINE = ImageTo3D(
    read=tiny_stages.ReadDisc(),
    views=tiny_stages.SameFromEverywhere(),
    decode=tiny_stages.PixelDecoder(),
    reconstruct=tiny_stages.Ball(),
    mesh=tiny_stages.Tetrahedron(),
    texture=tiny_stages.OneColour(),
)


def small_mean() -> MeanObject:
    solid = torch.zeros(64, 64, 64, dtype=torch.uint8)
    solid[24:40, 24:40, 24:40] = 255
    return MeanObject(torch.full((16, 4, 8, 8), 100, dtype=torch.uint8), solid, 0.5, 3, 3)


def generator_test(pipeline: ImageTo3D | None = PIPELINE, **protocol: object) -> GeneratorTest:
    settings = GeneratorProtocol(**{"photo_size": 32, "shape": QUICK, **protocol})  # type: ignore[arg-type]
    return GeneratorTest(pipeline, settings, Runtime("cpu"), small_mean())


class RingOfSixteen(tiny_stages.SameFromEverywhere):
    """The photo for all cameras of the ring."""

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        four = super().__call__(photo, runtime=runtime)
        return LatentViews(four.latents.repeat(4, 1, 1, 1), four.cameras.ring(size=32), photo, "pixels")
