"""Cameras at the height of a seat look along it; what stands behind and below must not be cut off."""

import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.mesh import Mesh
from epimesh.reconstruction import NeuS
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime

LEGS = [(x, y) for x in (-0.2, 0.2) for y in (-0.2, 0.2)]


@pytest.fixture(scope="module")
def chair() -> Mesh:
    parts = [trimesh.creation.box((0.48, 0.48, 0.05)), trimesh.creation.box((0.04, 0.48, 0.4))]
    parts[1].apply_translation((-0.22, 0.0, 0.2))
    for x, y in LEGS:
        leg = trimesh.creation.box((0.05, 0.05, 0.4))
        leg.apply_translation((x, y, -0.2))
        parts.append(leg)
    whole = trimesh.util.concatenate(parts)
    vertices = torch.tensor(whole.vertices).float()
    return Mesh(vertices, torch.tensor(whole.faces).long(), vertex_rgb=torch.full_like(vertices, 0.4))


def test_a_chair_seen_from_its_own_height_keeps_its_legs_and_its_seat(chair: Mesh, cpu: Runtime) -> None:
    views = render_mesh(chair, Cameras.ring(size=96, elevation_deg=0.0), threads=1)
    surface = NeuS(resolution=80, iterations=160, rays=1024)(views, None, runtime=cpu)
    heights = (-0.36, -0.28, -0.2, -0.12)
    legs = torch.tensor([(x, y, z) for x, y in LEGS for z in heights])
    between = torch.tensor([(x, 0.0, z) for x in (-0.1, 0.0, 0.1) for z in heights])
    assert (surface.sdf(legs) < 0).all()
    assert (surface.sdf(between) > 0).all()
    assert (surface.sdf(torch.tensor([(0.0, 0.0, 0.0), (0.1, 0.1, 0.0), (0.1, -0.1, 0.0)])) < 0).all()
