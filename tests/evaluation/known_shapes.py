"""Shapes with known measures."""

import numpy as np
import torch
import trimesh

from epimesh.mesh import Mesh


def ball(radius: float, subdivisions: int = 4) -> Mesh:
    """A sphere around the origin."""
    return from_trimesh(trimesh.creation.icosphere(subdivisions, radius))


def box(*sides: float) -> Mesh:
    """An axis-aligned box around the origin."""
    return from_trimesh(trimesh.creation.box(sides))


def from_trimesh(shape: trimesh.Trimesh) -> Mesh:
    """A trimesh as a Mesh."""
    return Mesh(torch.from_numpy(np.array(shape.vertices)).float(), torch.from_numpy(np.array(shape.faces)).long())
