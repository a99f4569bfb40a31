"""Novel views from any view: several views of an object, each in turn the photo, all others compared with the truth.

This is Zero-to-Hero's protocol as far as generators of a ring can follow it. They answer for one circle of cameras,
so the views are drawn from the pictures of that circle; the world is turned about z so that the photo stands at
azimuth 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from epimesh.errors import BadInput
from epimesh.evaluation.baselines.photo_only import copied_photo
from epimesh.evaluation.ground_truth.gso import GsoObject
from epimesh.evaluation.ground_truth.stored_truth import SAME_POSE, StoredTruth
from epimesh.evaluation.ground_truth.truth_object import Subject, TruthObject
from epimesh.evaluation.metrics.scores import Scores
from epimesh.evaluation.protocols.evaluator import Evaluator, Pictures, Prediction
from epimesh.evaluation.protocols.generator import GeneratorTest
from epimesh.pipeline.fingerprint import fingerprint
from epimesh.views import Views


@dataclass(frozen=True, eq=False)
class TargetTruth(StoredTruth):
    """A truth that compares only what it has pictures of, and leaves the other views of an answer aside."""

    def comparable(self, views: Views) -> Views:
        """The views from where there are pictures.

        Raises:
            BadInput: there are none.
        """
        sized = super().comparable(views)
        stored = self.shown.cameras.world_to_camera
        apart = (sized.cameras.world_to_camera[:, None] - stored[None]).abs().amax((-1, -2)).amin(1)
        kept = (apart < SAME_POSE).nonzero()[:, 0].tolist()
        if len(kept) < len(stored):
            raise BadInput(
                f"The answer has {len(kept)} of the {len(stored)} views that are asked for.\n"
                "Expected all of them: use a generator of the whole ring."
            )
        return sized[kept]


@dataclass(frozen=True, eq=False)
class PhotoOfRing:
    """One view of an object as the photo, some others as what is asked for.

    Args:
        whole: the object with all its pictures.
        source: index of the picture that is the photo.
        targets: indices of those that are asked for.
    """

    whole: GsoObject
    source: int
    targets: tuple[int, ...]

    @property
    def id(self) -> str:
        """Of the object and the photo."""
        return f"{self.whole.id}-from-{self.source:03d}"

    @property
    def content(self) -> str:
        """A hash of the object and of what is asked."""
        return fingerprint(self.whole.content, self.source, self.targets)

    def truth(self, *, elevation_deg: float, size: int) -> TargetTruth:
        """The truth, turned so that the photo stands at azimuth 0.

        Raises:
            BadInput: see `GsoObject.truth`; or the photo is not at that elevation.
        """
        truth = self.whole.truth(elevation_deg=elevation_deg, size=size)
        azimuth_deg, elevations_deg = self.whole.cameras.azimuth_elevation_deg()
        found_deg = float(elevations_deg[self.source])
        if abs(found_deg - elevation_deg) > 0.1:
            raise BadInput(
                f"View {self.source} of {self.whole.folder} is at elevation {found_deg:.1f}, not {elevation_deg:g}.\n"
                "Expected all views on one circle."
            )
        turn = turned_about_z(float(azimuth_deg[self.source]))
        shown = truth.shown
        cameras = replace(shown.cameras, world_to_camera=shown.cameras.world_to_camera @ turn)
        photo, targets = shown[self.source], replace(shown, cameras=cameras)[list(self.targets)]
        return TargetTruth(
            mesh=replace(truth.mesh, vertices=truth.mesh.vertices @ turn[:3, :3]),
            photo=replace(truth.photo, rgba=torch.cat([photo.straight_rgb()[0], photo.alpha[0]])),
            scale=truth.scale,
            shown=targets,
        )


class NvsTest(GeneratorTest):
    """A test of views alone, from several photos of every object. The rows name the object, and which was the photo."""

    def answers(self, subject: Subject, pictures: Pictures | None = None) -> Iterator[Scores]:
        """The generator with every seed, then the photo copied."""
        assert isinstance(subject, PhotoOfRing)
        for row in super().answers(subject, pictures):
            yield replace(row, object=subject.whole.id, photo=subject.source)

    def _baselines(self, truth: TruthObject, evaluator: Evaluator) -> Iterator[Scores]:
        yield evaluator.row("copy the photo", lambda: Prediction(views=copied_photo(truth.photo, evaluator.cameras)))


def photos_of_ring(subjects: Sequence[GsoObject], views: int, seed: int) -> list[PhotoOfRing]:
    """Every object with `views` of its pictures drawn at random, each in turn the photo for the others.

    Args:
        subjects: the objects.
        views: how many pictures of each take part.
        seed: of the draw; the same object gets the same pictures in any company.

    Raises:
        BadInput: fewer than two views, or more than there are.
    """
    found = []
    for subject in subjects:
        if not 2 <= views <= len(subject.cameras):
            raise BadInput(f"Found {views} views.\nExpected 2 to {len(subject.cameras)}, which is how many there are.")
        random = np.random.default_rng([seed, *subject.id.encode()])
        drawn = sorted(int(one) for one in random.choice(len(subject.cameras), views, replace=False))
        found += [PhotoOfRing(subject, one, tuple(other for other in drawn if other != one)) for one in drawn]
    return found


def turned_about_z(azimuth_deg: float) -> torch.Tensor:
    """The 4 x 4 matrix that turns azimuth 0 to the given one."""
    angle = torch.deg2rad(torch.tensor(azimuth_deg))
    matrix = torch.eye(4)
    matrix[:2, :2] = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    return matrix
