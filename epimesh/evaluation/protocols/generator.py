"""Asks a pipeline about objects whose other sides are known, and notes how far off it was, beside the baselines.

The stages `views` and `decode` get the photo of the test directly, so cutting out is not part of the measurement.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from epimesh.evaluation.baselines.mean_object import MeanObject
from epimesh.evaluation.baselines.photo_only import copied_photo, inflated_silhouette, silhouette_hull
from epimesh.evaluation.ground_truth.truth_object import Subject, TruthObject
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.evaluator import Evaluator, GeneratorProtocol, Pictures, Prediction, reason_of
from epimesh.files.atomic import atomic_file
from epimesh.pipeline.contracts import Stage
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime, Silent

GENERATOR = "generator"
TRUE_VIEWS = "true views"


@dataclass(frozen=True)
class GeneratorTest:
    """A pipeline, or none for the baselines alone, and how it is tested.

    Args:
        pipeline: whose stages answer; None measures only the baselines.
        protocol: how.
        runtime: device and reporter; the seeds are the protocol's.
        mean: the mean training object.
        agreement: also measure how well the views of an answer agree with each other, beside the true views.
    """

    pipeline: ImageTo3D | None
    protocol: GeneratorProtocol
    runtime: Runtime
    mean: MeanObject
    agreement: bool = False

    def rows(self, subjects: Sequence[Subject], out: Path, pictures: Pictures | None = None) -> Iterator[Scores]:
        """All answers to all objects. Those of an earlier call are read back from `out`, unless something failed."""
        folder = out / "objects"
        folder.mkdir(parents=True, exist_ok=True)
        for subject in self.runtime.reporter.track(subjects, "objects", len(subjects)):
            path, key = folder / f"{subject.id}.json", self._key(subject)
            rows = _kept(path, key)
            if rows is None:
                rows = list(self.answers(subject, pictures))
                with atomic_file(path) as unfinished:
                    unfinished.write_text(json.dumps({"key": key, "rows": [asdict(row) for row in rows]}, indent=1))
            yield from rows

    def stages(self) -> list[Stage[Any] | None]:
        """Those that take part, in order; None for a slot that is left empty."""
        pipeline = self.pipeline
        if pipeline is None:
            return []
        shaping = [pipeline.reconstruct, pipeline.refine, pipeline.mesh] if self.protocol.mesh else []
        return [pipeline.views, pipeline.decode, *shaping]

    def answers(self, subject: Subject, pictures: Pictures | None = None) -> Iterator[Scores]:
        """The rows of one object: the generator with every seed, then the baselines."""
        try:
            truth = subject.truth(elevation_deg=self.protocol.elevation_deg, size=self.protocol.photo_size)
        except Exception as error:  # a failure of any kind becomes a row that says so
            yield Scores(subject.id, "truth", failure=reason_of(error))
            return
        evaluator = Evaluator(subject.id, truth, self.protocol, agreement=self.agreement, pictures=pictures)
        if self.pipeline is not None:
            for seed in self.protocol.seeds:
                yield evaluator.row(GENERATOR, partial(self._generated, truth, seed), seed)
        if pictures is not None:
            pictures.keep_truth(
                subject.id, truth.photo, evaluator.true_views, truth.mesh if self.protocol.mesh else None
            )
        yield from self._baselines(truth, evaluator)

    def _baselines(self, truth: TruthObject, evaluator: Evaluator) -> Iterator[Scores]:
        photo, cameras = truth.photo, evaluator.cameras
        yield evaluator.row("copy the photo", lambda: Prediction(views=copied_photo(photo, cameras)))
        yield evaluator.row("mean object", lambda: Prediction(views=self.mean.views(cameras)))
        if self.agreement:
            yield evaluator.row(TRUE_VIEWS, lambda: Prediction(views=evaluator.true_views))
        if self.protocol.mesh:
            yield evaluator.row("mean shape", lambda: Prediction(mesh=self.mean.mesh()))
            yield evaluator.row("mean shape in the silhouette", lambda: Prediction(mesh=self.mean.mesh(photo)))
            yield evaluator.row("inflated silhouette", lambda: Prediction(mesh=inflated_silhouette(photo)))
            yield evaluator.row(
                "hull of the true views", lambda: Prediction(mesh=silhouette_hull(evaluator.true_views))
            )

    def _generated(self, truth: TruthObject, seed: int) -> Prediction:
        assert self.pipeline is not None
        runtime = replace(self.runtime, seed=seed, reporter=Silent())
        latents = self.pipeline.views(truth.photo, runtime=runtime)
        views = self.pipeline.decode(latents, runtime=runtime)
        if not self.protocol.mesh:
            return Prediction(views)
        surface = self.pipeline.reconstruct(views, truth.photo, runtime=runtime)
        if self.pipeline.refine is not None:
            surface = self.pipeline.refine(surface, views, truth.photo, runtime=runtime)
        return Prediction(views, self.pipeline.mesh(surface, runtime=runtime), surface)

    def _key(self, subject: Subject) -> str:
        mean = (self.mean.level, self.mean.objects, self.mean.solids)
        asked = ["scores by metric", *(["agreement"] if self.agreement else [])]
        return fingerprint(self.stages(), self.protocol, self.runtime.device, mean, subject.content, *asked)


def _kept(path: Path, key: str) -> list[Scores] | None:
    """Rows of an earlier call with the same key; None if there are none or some failed."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    rows = [Scores(**row) for row in kept["rows"]] if kept["key"] == key else None
    return rows if rows and all(row.failure is None for row in rows) else None
