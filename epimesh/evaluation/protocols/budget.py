"""The error budget: what the whole way scores as the truth replaces one stage after the other.

Every rung of the ladder knows a little more of the truth than the one before. What is gained from one to the next is
what the stage between them costs, and what the last one lacks is the cost of the texture.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from epimesh.evaluation.ground_truth.oracle_stages import (
    TrueSolid,
    found_again,
    radius_of,
    seen_solid,
    textured_background,
    true_latents,
)
from epimesh.evaluation.ground_truth.truth_object import Subject, TruthObject
from epimesh.evaluation.metrics.images import silhouette_iou
from epimesh.evaluation.metrics.metric import METRICS
from epimesh.evaluation.metrics.occupancy import occupancy
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.evaluator import Evaluator, Pictures, Prediction, reason_of
from epimesh.evaluation.protocols.generator import GeneratorTest
from epimesh.mesh import Mesh
from epimesh.photo import Photo
from epimesh.pipeline.contracts import Stage
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime, Silent
from epimesh.views import LatentViews, Views

FOUND, MASK = "found mask", "true mask"
LATENTS, VIEWS, DEPTH, SOLID, MESH = "true latents", "true views", "true depth", "true solid", "true mesh"
RUNGS = {
    FOUND: "everything made; the mask is found on a textured background",
    MASK: "everything made from the photo with its true mask",
    LATENTS: "true views, encoded and decoded by the autoencoder, then reconstructed",
    VIEWS: "true views, reconstructed",
    DEPTH: "true depth from the same cameras, carved; meshed as ever",
    SOLID: "the true signed distance, meshed as ever",
    MESH: "the true triangles; only the texture is made",
}

SHAPE_KNOWN = (DEPTH, SOLID, MESH)
"""Rungs without anything random: they are measured with the first seed only."""


class BudgetTest(GeneratorTest):
    """All rungs of the ladder as answers about an object. The method of a row is the rung."""

    def stages(self) -> list[Stage[Any] | None]:
        """All of the pipeline after the cut-out."""
        assert self.pipeline is not None
        return [*super().stages(), self.pipeline.texture]

    def answers(self, subject: Subject, pictures: Pictures | None = None) -> Iterator[Scores]:
        """Every rung, with every seed where one takes part. No pictures are kept."""
        assert self.pipeline is not None
        try:
            truth = subject.truth(elevation_deg=self.protocol.elevation_deg, size=self.protocol.photo_size)
        except Exception as error:  # a failure of any kind becomes a row that says so
            yield Scores(subject.id, "truth", failure=reason_of(error))
            return
        evaluator = Evaluator(subject.id, truth, self.protocol)
        for number, seed in enumerate(self.protocol.seeds):
            ladder = Ladder(subject.id, self.pipeline, truth, replace(self.runtime, seed=seed, reporter=Silent()))
            for rung in RUNGS:
                if number == 0 or rung not in SHAPE_KNOWN:
                    yield judged(evaluator, ladder, rung, seed)


@dataclass(frozen=True, eq=False)
class Ladder:
    """One object on its way with one seed.

    Args:
        name: of the object.
        pipeline: whose stages do what the truth does not.
        truth: of the object.
        runtime: device and seed.
    """

    name: str
    pipeline: ImageTo3D
    truth: TruthObject
    runtime: Runtime

    @cached_property
    def imagined(self) -> LatentViews:
        """From the photo with its true mask; their cameras are those of all true views."""
        return self.pipeline.views(self.truth.photo, runtime=self.runtime)

    @cached_property
    def true_views(self) -> Views:
        """From where the generator looks, at its size."""
        return replace(self.truth.views(self.imagined.cameras), normals=None, depth=None)

    @cached_property
    def solid(self) -> bool:
        """True if the truth is closed, so that it has an inside."""
        return occupancy(self.truth.mesh).solid

    def photo(self, rung: str) -> Photo:
        """As it is known on this rung."""
        photo = self.truth.photo
        if rung != FOUND:
            return photo
        random = self.runtime.generator(f"background of {self.name}")
        return found_again(photo, textured_background(photo.size, random))

    def views(self, rung: str, photo: Photo) -> Views:
        """As they are known on this rung."""
        if rung in (VIEWS, *SHAPE_KNOWN):
            return self.true_views
        if rung == MASK:
            latents = self.imagined
        elif rung == LATENTS:
            space = self.imagined.latent_space
            latents = true_latents(self.true_views, photo, self.pipeline.decode, space)
        else:
            latents = self.pipeline.views(photo, runtime=self.runtime)
        return self.pipeline.decode(latents, runtime=self.runtime)

    def mesh(self, rung: str, views: Views, photo: Photo) -> Mesh:
        """As it is known on this rung, without colours."""
        true = self.truth.mesh
        if rung == MESH:
            return Mesh(true.vertices, true.faces)
        if rung == SOLID:
            return self.pipeline.mesh(TrueSolid(true, radius_of(true)), runtime=self.runtime)
        if rung == DEPTH:
            return self.pipeline.mesh(seen_solid(true, views.cameras), runtime=self.runtime)
        surface = self.pipeline.reconstruct(views, photo, runtime=self.runtime)
        if self.pipeline.refine is not None:
            surface = self.pipeline.refine(surface, views, photo, runtime=self.runtime)
        return self.pipeline.mesh(surface, runtime=self.runtime)


def judged(evaluator: Evaluator, ladder: Ladder, rung: str, seed: int) -> Scores:
    """The scores of the mesh and of its pictures; those of the views where they are not the true ones."""
    row, started = Scores(ladder.name, rung, seed), time.perf_counter()
    if rung == SOLID and not ladder.solid:
        return replace(row, note="left out: the truth is no closed solid")
    try:
        photo = ladder.photo(rung)
        views = ladder.views(rung, photo)
        mesh = ladder.mesh(rung, views, photo)
        textured = ladder.pipeline.texture(mesh, views, photo, runtime=ladder.runtime)
    except Exception as error:  # a failure of any kind becomes a row that says so
        return replace(row, failure=reason_of(error))
    seconds = round(time.perf_counter() - started, 3)
    shown = evaluator.row(rung, lambda: Prediction(render_mesh(textured, views.cameras), textured), seed)
    looked = evaluator.row(rung, lambda: Prediction(views), seed) if rung not in (VIEWS, *SHAPE_KNOWN) else row
    of_views = {metric.name: looked[metric.name] for metric in METRICS.values() if metric.kind == "views"}
    measured = {name: value for name, value in shown.values.items() if name not in of_views}
    mask = silhouette_iou(photo.rgba[3], ladder.truth.photo.rgba[3]) if rung == FOUND else None
    found = replace(shown, values=measured, failure=shown.failure or looked.failure).added(of_views)
    return found.added({"seconds": seconds, "textured_psnr": shown["psnr"], "mask_iou": mask})
