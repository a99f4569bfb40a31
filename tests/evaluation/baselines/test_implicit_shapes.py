"""Simple shapes as numbers on a grid: against closed forms and against plain loops."""

import numpy as np
import pytest
import torch

from epimesh.errors import StageFailed
from epimesh.evaluation.baselines.implicit_shapes import (
    HALF_SIDE,
    grid_points,
    mesh_of,
    sampled_at,
    signed_outline_distance,
)
from epimesh.evaluation.metrics.mesh_health import health


def test_the_mesh_of_a_ball_is_a_closed_ball_in_its_place() -> None:
    centre = torch.tensor([0.2, -0.1, 0.3])
    mesh = mesh_of(0.35 - (grid_points(48) - centre).norm(dim=-1))
    distance = (mesh.vertices - centre).norm(dim=-1)
    assert float((distance - 0.35).abs().max()) < 0.003
    assert health(mesh).watertight
    outward = (mesh.face_normals() * (mesh.vertices[mesh.faces].mean(1) - centre)).sum(-1)
    assert bool((outward > 0).all())


def test_what_reaches_the_border_is_closed_there() -> None:
    mesh = mesh_of(torch.ones(12, 12, 12))
    assert health(mesh).watertight
    assert float(mesh.vertices.abs().max()) == pytest.approx(HALF_SIDE, abs=0.15)


def test_an_empty_shape_is_refused() -> None:
    with pytest.raises(StageFailed, match="nowhere positive"):
        mesh_of(torch.full((8, 8, 8), -0.1))


def test_the_distance_to_the_outline_is_that_of_comparing_all_pixels() -> None:
    alpha = (torch.rand(14, 11) > 0.4).float()
    inside = alpha.numpy() > 0.5
    padded = np.pad(inside, 1)
    places = np.argwhere(np.ones_like(padded)) - 1
    signed = signed_outline_distance(alpha)
    for row, column in np.argwhere(np.ones_like(inside)):
        others = places[(padded != inside[row, column]).reshape(-1)]
        distance = np.sqrt(((others - [row, column]) ** 2).sum(1)).min() - 0.5
        assert float(signed[row, column]) == pytest.approx(distance if inside[row, column] else -distance, abs=1e-5)


def test_no_silhouette_is_far_outside_everywhere() -> None:
    assert signed_outline_distance(torch.zeros(6, 9)).tolist() == [[-9] * 9] * 6


def test_a_look_up_at_pixel_centres_gives_the_pixels_and_between_them_their_mean() -> None:
    image = torch.rand(5, 7)
    u, v = torch.meshgrid(torch.arange(7) + 0.5, torch.arange(5) + 0.5, indexing="xy")
    torch.testing.assert_close(sampled_at(image, torch.stack([u, v], -1)), image)
    between = sampled_at(image, torch.tensor([[3.0, 1.5]]))
    torch.testing.assert_close(between[0], (image[1, 2] + image[1, 3]) / 2)
    torch.testing.assert_close(sampled_at(image, torch.tensor([[-5.0, 0.5]]))[0], image[0, 0])
