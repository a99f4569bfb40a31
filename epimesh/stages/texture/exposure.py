"""Makes the images agree about brightness and tint, so that no seam shows where one takes over from another."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from epimesh.stages.texture.view_projector import ProjectedColor

_LIMIT = 1.25  # largest factor; more is a disagreement about the object, not about exposure
_TRUSTED = 0.15  # both must be trusted this much at a place to be compared there
_ENOUGH = 50  # places that two images must share
_READABLE = (0.04, 0.98)  # darker or brighter colours say little about a factor
_HOLD = 0.005  # pull of every factor towards 1, in shares of a full overlap


def gains(statements: list[ProjectedColor], fixed: int | None) -> Float[Tensor, "V 3"]:
    """A factor per image and channel that brings overlapping images together.

    The factors solve a least-squares problem over all pairs: their log ratio should be the median log ratio of the
    colours at the places that both see. Without a fixed image their geometric mean is pulled towards 1.

    Args:
        statements: of all images at the same places; a few thousand are enough.
        fixed: the image that keeps its colours (the photo), or None.
    """
    seen = [_Seen.of(statement) for statement in statements]
    count = len(seen)
    matrix = torch.eye(count, dtype=torch.float64) * _HOLD
    target = torch.zeros(count, 3, dtype=torch.float64)
    for i in range(count):
        for j in range(i):
            ratio, weight = _log_ratio(seen[i], seen[j])
            matrix[i, i] += weight
            matrix[j, j] += weight
            matrix[i, j] -= weight
            matrix[j, i] -= weight
            target[i] -= weight * ratio
            target[j] += weight * ratio
    if fixed is not None:
        matrix[fixed, fixed] += 1e6
    return torch.linalg.solve(matrix, target).float().exp().clamp(1 / _LIMIT, _LIMIT)


@dataclass(frozen=True, eq=False)
class _Seen:
    """What a comparison with any other image needs, found once per image: there are many more pairs than images.

    Args:
        usable: where the image is trusted and its colour says something.
        trusted: at how many places it is trusted.
        coarse: its colours.
    """

    usable: Bool[Tensor, "N"]
    trusted: int
    coarse: Float[Tensor, "N 3"]

    @classmethod
    def of(cls, statement: ProjectedColor) -> "_Seen":
        low, high = _READABLE
        trusted = statement.trust > _TRUSTED
        readable = ((statement.coarse > low) & (statement.coarse < high)).all(-1)
        return cls(trusted & readable, int(trusted.sum()), statement.coarse)


def _log_ratio(one: _Seen, other: _Seen) -> tuple[Tensor, float]:
    """Median log of `one`'s colours over `other`'s per channel, and how much weight it deserves (0: no overlap)."""
    both = torch.nonzero(one.usable & other.usable)[:, 0]
    if len(both) < _ENOUGH:
        return torch.zeros(3, dtype=torch.float64), 0.0
    share = len(both) / min(one.trusted, other.trusted)
    return (one.coarse[both] / other.coarse[both]).log().median(dim=0).values.double(), share
