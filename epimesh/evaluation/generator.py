"""Asks a pipeline about objects whose other sides are known, and notes how far off it was, beside the baselines.

The stages `views` and `decode` get the rendered photo directly, so cutting out is not part of the measurement.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from epimesh.data.objects import ObjectRecord
from epimesh.evaluation.baselines import copied_photo, inflated_silhouette, silhouette_hull
from epimesh.evaluation.judging import Answer, GeneratorProtocol, Judge, Row, reason_of
from epimesh.evaluation.mean_object import MeanObject
from epimesh.evaluation.truth_object import TruthObject, truth_object
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.pipeline.image_to_3d import ImageTo3D
from epimesh.runtime import Runtime, Silent

GENERATOR = "generator"


@dataclass(frozen=True)
class GeneratorTest:
    """A pipeline, or none for the baselines alone, and how it is tested.

    Args:
        pipeline: whose stages answer; None measures only the baselines.
        protocol: how.
        runtime: device and reporter; the seeds are the protocol's.
        mean: the mean training object.
    """

    pipeline: ImageTo3D | None
    protocol: GeneratorProtocol
    runtime: Runtime
    mean: MeanObject

    def rows(self, records: Sequence[ObjectRecord], out: Path) -> Iterator[Row]:
        """All answers to all objects. Those of an earlier call are read back from `out`, unless something failed."""
        folder = out / "objects"
        folder.mkdir(parents=True, exist_ok=True)
        for record in self.runtime.reporter.track(records, "objects", len(records)):
            path, key = folder / f"{record.id}.json", self._key(record)
            rows = _kept(path, key)
            if rows is None:
                rows = list(self.answers(record))
                unfinished = path.with_name(f".{path.name}")
                unfinished.write_text(json.dumps({"key": key, "rows": [asdict(row) for row in rows]}, indent=1))
                unfinished.replace(path)
            yield from rows

    def answers(self, record: ObjectRecord) -> Iterator[Row]:
        """The rows of one object: the generator with every seed, then the baselines."""
        try:
            truth = truth_object(record, elevation_deg=self.protocol.elevation_deg, size=self.protocol.photo_size)
        except Exception as error:  # a failure of any kind becomes a row that says so
            yield Row(record.id, "truth", failure=reason_of(error))
            return
        judge = Judge(record.id, truth, self.protocol)
        if self.pipeline is not None:
            for seed in self.protocol.seeds:
                yield judge.row(GENERATOR, partial(self._generated, truth, seed), seed)
        yield from self._baselines(truth, judge)

    def _baselines(self, truth: TruthObject, judge: Judge) -> Iterator[Row]:
        photo, cameras = truth.photo, judge.cameras
        yield judge.row("copy the photo", lambda: Answer(views=copied_photo(photo, cameras)))
        yield judge.row("mean object", lambda: Answer(views=self.mean.views(cameras)))
        if self.protocol.mesh:
            yield judge.row("mean shape", lambda: Answer(mesh=self.mean.mesh()))
            yield judge.row("mean shape in the silhouette", lambda: Answer(mesh=self.mean.mesh(photo)))
            yield judge.row("inflated silhouette", lambda: Answer(mesh=inflated_silhouette(photo)))
            yield judge.row("hull of the true views", lambda: Answer(mesh=silhouette_hull(judge.true_views)))

    def _generated(self, truth: TruthObject, seed: int) -> Answer:
        assert self.pipeline is not None
        runtime = replace(self.runtime, seed=seed, reporter=Silent())
        latents = self.pipeline.views(truth.photo, runtime=runtime)
        views = self.pipeline.decode(latents, runtime=runtime)
        if not self.protocol.mesh:
            return Answer(views)
        surface = self.pipeline.reconstruct(views, truth.photo, runtime=runtime)
        if self.pipeline.refine is not None:
            surface = self.pipeline.refine(surface, views, truth.photo, runtime=runtime)
        return Answer(views, self.pipeline.mesh(surface, runtime=runtime))

    def _key(self, record: ObjectRecord) -> str:
        stages: list[object] = []
        if self.pipeline is not None:
            stages = [self.pipeline.views, self.pipeline.decode]
            if self.protocol.mesh:
                stages += [self.pipeline.reconstruct, self.pipeline.refine, self.pipeline.mesh]
        mean = (self.mean.level, self.mean.objects, self.mean.solids)
        return fingerprint(stages, self.protocol, self.runtime.device, mean, record.path)


def _kept(path: Path, key: str) -> list[Row] | None:
    """Rows of an earlier call with the same key; None if there are none or some failed."""
    if not path.is_file():
        return None
    kept = json.loads(path.read_text())
    rows = [Row(**row) for row in kept["rows"]] if kept["key"] == key else None
    return rows if rows and all(row.failure is None for row in rows) else None
