"""Objects whose shape is known, and what cameras see of them."""

import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.views import Views

SIZE = 64
BALL = 0.3  # radius
RING = (0.3, 0.11)  # radii of the torus


def colourful(shape: trimesh.Trimesh) -> Mesh:
    """The shape, coloured by position, so that surfaces can be told apart by colour."""
    vertices = torch.tensor(shape.vertices).float()
    return Mesh(vertices, torch.tensor(shape.faces).long(), vertex_rgb=(0.5 + 1.5 * vertices).clamp(0.05, 0.95))


def around(elevation_deg: float = 20.0, views: int = 12, size: int = SIZE) -> Cameras:
    """Every other camera looks from above, every other from below, so that everything is seen."""
    azimuth = torch.arange(views) * (360.0 / views)
    elevation = torch.where(torch.arange(views) % 2 == 0, 1.0, -1.0) * elevation_deg
    return Cameras.on_sphere(azimuth, elevation, size=size)


@pytest.fixture(scope="session")
def ball() -> Mesh:
    return colourful(trimesh.creation.icosphere(subdivisions=4, radius=BALL))


@pytest.fixture(scope="session")
def ball_views(ball: Mesh) -> Views:
    return render_mesh(ball, around(), threads=1)


@pytest.fixture(scope="session")
def torus() -> Mesh:
    return colourful(trimesh.creation.torus(*RING, major_sections=48, minor_sections=24))


@pytest.fixture(scope="session")
def torus_views(torus: Mesh) -> Views:
    return render_mesh(torus, around(elevation_deg=45.0), threads=1)


@pytest.fixture
def cpu() -> Runtime:
    return Runtime(device="cpu")
