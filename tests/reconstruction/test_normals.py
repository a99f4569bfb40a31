"""Normals of the views, where there are any, say what colours and outlines leave open."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from epimesh.cameras import Cameras
from epimesh.errors import StageFailed
from epimesh.files.posed_set import write_transforms
from epimesh.mesh import Mesh
from epimesh.reconstruction import NeuS
from epimesh.reconstruction.neus.engine import CompiledEngine
from epimesh.reconstruction.neus.fit import Schedule, fit
from epimesh.reconstruction.neus.ray_pool import RayPool, ray_pool
from epimesh.reconstruction.neus.torch_engine import TorchEngine
from epimesh.reconstruction.silhouettes import silhouette_views
from epimesh.rendering.ray_casting import render_mesh
from epimesh.runtime import Runtime
from epimesh.views import Views

SIDE, RADIUS = 20, 0.5


@pytest.fixture(scope="module")
def dented() -> Mesh:
    """A ball with dents, of one colour: neither outlines nor colours show their bottoms."""
    ball = trimesh.creation.icosphere(subdivisions=4)
    directions = torch.tensor(ball.vertices).float()
    vertices = directions * (0.35 + 0.04 * (4.2 * directions).cos().prod(dim=1, keepdim=True))
    return Mesh(vertices, torch.tensor(ball.faces).long(), vertex_rgb=torch.full_like(vertices, 0.5))


@pytest.fixture(scope="module")
def views(dented: Mesh) -> Views:
    elevation = torch.tensor([35.0, -35.0] * 4)
    return render_mesh(dented, Cameras.on_sphere(torch.arange(8) * 45.0, elevation, size=64), threads=1)


def pool_of(views: Views) -> RayPool:
    return ray_pool(silhouette_views(views, None, Runtime("cpu")), 1.0, torch.Generator().manual_seed(0))


def bumpy_ball() -> np.ndarray:
    places = np.stack(np.meshgrid(*[np.linspace(-RADIUS, RADIUS, SIDE)] * 3, indexing="ij"), -1).reshape(-1, 3)
    distance = np.linalg.norm(places, axis=1) - 0.25 + 0.01 * np.random.default_rng(0).normal(size=len(places))
    return np.column_stack([distance, np.full((len(places), 3), 0.5)]).astype(np.float32)


def test_dents_that_nothing_else_shows_are_found_by_their_normals(dented: Mesh, views: Views, cpu: Runtime) -> None:
    neus = NeuS(resolution=48, iterations=120, rays=1024, smoothing=0.6)
    surfaces = [neus(each, None, runtime=cpu) for each in (views, replace(views, normals=None))]
    told, untold = (float(surface.sdf(dented.vertices).abs().mean()) for surface in surfaces)
    assert told < 0.75 * untold  # .0035 against .0070


def test_a_normal_counts_the_more_it_faces_the_camera_and_not_at_all_at_the_outline(views: Views) -> None:
    rays = pool_of(views).rays
    known = np.linalg.norm(rays.facing[:, :3], axis=1) > 0.5
    cosine = -(rays.facing[:, :3] * rays.directions).sum(1)
    counted = rays.facing[:, 3]
    assert (counted[~known] == 0).all()
    assert (counted[known & (cosine < 0.1)] == 0).all()
    front = known & (cosine > 0.101)
    np.testing.assert_allclose(counted[front], np.exp(cosine[front] - 1), rtol=1e-4)


def test_both_engines_learn_the_same_from_normals(views: Views) -> None:
    schedule = Schedule(iterations=10, rays=512, normal_weight=1.0)
    compiled, plain = CompiledEngine(bumpy_ball(), SIDE, RADIUS, 512), TorchEngine(bumpy_ball(), SIDE, RADIUS, "cpu")
    losses = [list(fit(model, pool_of(views), schedule, seed=0)) for model in (compiled, plain)]
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    # Adam makes steps of small gradients, too: where hardly any light comes from, colours follow the last digit.
    np.testing.assert_allclose(compiled.values()[:, 0], plain.values()[:, 0], atol=2e-3)
    assert float(np.abs(compiled.values() - plain.values()).mean()) < 1e-4


def test_the_normals_that_fit_worst_are_left_out_from_the_second_step_on(views: Views) -> None:
    only_normals = Schedule(2, 512, rgb_weight=0.0, mask_weight=0.0, normal_weight=1.0, distance_rate=0.0)
    with_all, without_worst = (
        list(
            fit(
                CompiledEngine(bumpy_ball(), SIDE, RADIUS, 512),
                pool_of(views),
                replace(only_normals, normal_outliers=share),
                seed=0,
            )
        )
        for share in (0.0, 0.5)
    )
    assert without_worst[0] == with_all[0]
    assert without_worst[1] < 0.6 * with_all[1]


def test_views_that_weigh_nothing_change_nothing(views: Views, cpu: Runtime) -> None:
    wrong = views.normals.clone() if views.normals is not None else None
    assert wrong is not None
    wrong[4:] = -wrong[4:]
    neus = NeuS(resolution=32, iterations=8, rays=256, view_weights=(1.0,) * 4 + (0.0,) * 4)
    right, mistaken = (neus(each, None, runtime=cpu) for each in (views, replace(views, normals=wrong)))
    assert torch.equal(right.distances, mistaken.distances)


def test_another_number_of_weights_than_views_is_refused(views: Views, cpu: Runtime) -> None:
    with pytest.raises(StageFailed, match="8 views, but 6 view_weights"):
        NeuS(view_weights=(1.0, 0.8, 0.2, 1.0, 0.4, 0.7))(views, None, runtime=cpu)


def test_reconstruct_uses_normal_maps_and_refuses_those_in_the_axes_of_their_camera(
    views: Views, tmp_path: Path
) -> None:
    def reconstruct(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "epimesh", "reconstruct", "ball", "--texture-size", "128", "--faces", "500"]
        small = ["--reconstruct.resolution", "24", "--reconstruct.iterations", "4", "--mesh.resolution", "24"]
        return subprocess.run([*command, *small, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)

    write_transforms(views, tmp_path / "ball")
    assert json.loads((tmp_path / "ball/transforms.json").read_text())["frames"][0]["normal_file_path"]
    used = reconstruct()
    assert used.returncode == 0, used.stderr
    assert "8 views of 64 x 64 pixels, with normals" in used.stderr

    assert views.normals is not None
    own = torch.einsum("vij,vjhw->vihw", views.cameras.world_to_camera[:, :3, :3], views.normals)
    write_transforms(replace(views, normals=own), tmp_path / "ball")
    refused = reconstruct()
    assert refused.returncode != 0
    assert "look away from the camera" in refused.stderr
    assert "--normals ignore" in refused.stderr
