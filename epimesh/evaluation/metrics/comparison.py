"""One prediction about one object beside the truth: what all metrics look at, each part computed once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from epimesh.evaluation.metrics.consistency import Consistency, consistency
from epimesh.evaluation.metrics.images import ImageScores, compare_views, mean_scores
from epimesh.evaluation.metrics.shapes import ShapeProtocol, ShapeReport, compare_shapes
from epimesh.mesh import Mesh
from epimesh.surface import Surface
from epimesh.views import Views


@dataclass(frozen=True, eq=False)
class ViewComparison:
    """Imagined views beside the true ones.

    Args:
        predicted: on white, of the size of the true ones.
        truth: from the same cameras, with depth.
        photographed: which of the cameras stand where the photo was taken.
        surface: what was reconstructed from the views, if anything.
    """

    predicted: Views
    truth: Views
    photographed: tuple[bool, ...]
    surface: Surface | None = None

    @cached_property
    def per_view(self) -> list[ImageScores]:
        """The likeness of every view."""
        return compare_views(self.predicted, self.truth)

    @cached_property
    def mean(self) -> ImageScores:
        """The mean likeness."""
        return mean_scores(self.per_view)

    @cached_property
    def agreement(self) -> Consistency:
        """How well the views agree with each other, by true depth."""
        assert self.truth.depth is not None
        return consistency(self.predicted, self.truth.depth)

    @cached_property
    def shown(self) -> Views | None:
        """The surface that was reconstructed, seen from the cameras."""
        return None if self.surface is None else self.surface.render(self.predicted.cameras)


@dataclass(frozen=True, eq=False)
class ShapeComparison:
    """A predicted shape beside the true one.

    Args:
        predicted: as it was said.
        truth: the true shape.
        protocol: how they are compared.
        visible: points of the truth that the ring's cameras see.
        is_full: tells whether the truth fills its hull, so that its volume says something of its shape.
    """

    predicted: Mesh
    truth: Mesh
    protocol: ShapeProtocol
    visible: Float[Tensor, "N 3"]
    is_full: Callable[[], bool]

    @cached_property
    def report(self) -> ShapeReport:
        """All about the two."""
        return compare_shapes(self.predicted, self.truth, protocol=self.protocol, truth_points=self.visible)
