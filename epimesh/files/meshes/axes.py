"""Turns the z-up world into the y-up one of glTF and back. The front looks along world +x and along glTF's +Z."""

from jaxtyping import Float
from torch import Tensor


def to_y_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """World positions or directions (x front, y left, z up) as glTF has them: (X left, Y up, Z front)."""
    return vectors[:, [1, 2, 0]]


def from_y_up(vectors: Float[Tensor, "N 3"]) -> Float[Tensor, "N 3"]:
    """Undoes `to_y_up`."""
    return vectors[:, [2, 0, 1]]
