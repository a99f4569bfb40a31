"""The fused loop of NeuS renders by the paper's formula, and its hand-made gradients are those of autograd."""

from typing import NamedTuple

import numpy as np
import pytest
import torch

from epimesh.cameras import Cameras
from epimesh.reconstruction.neus import torch_render
from epimesh.reconstruction.neus.kernel import march, most_samples, render_and_backpropagate
from epimesh.reconstruction.neus.rays import Buffers, Optics, Rays, make_buffers

SIDE, RADIUS = 24, 0.5


class Scene(NamedTuple):
    grid: np.ndarray
    rays: Rays
    optics: Optics


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A bumpy ball of random colours, seen by rays that partly miss it, with targets of another object."""
    generator = torch.Generator().manual_seed(3)
    axis = torch.linspace(-RADIUS, RADIUS, SIDE)
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1).reshape(-1, 3)
    distance = places.norm(dim=-1) - 0.3 + 0.02 * torch.randn(len(places), generator=generator)
    grid = torch.cat([distance[:, None], torch.rand(len(places), 3, generator=generator)], dim=1).numpy()
    camera = Cameras.on_sphere(torch.tensor([40.0, 200.0]), torch.tensor([25.0, -50.0]), size=16)
    origins, directions = (part.reshape(-1, 3).numpy() for part in camera.rays())
    target = torch.rand(len(origins), 4, generator=generator).numpy()
    weight = torch.rand(len(origins), generator=generator).numpy() + 0.5
    facing = torch.nn.functional.normalize(torch.randn(len(origins), 3, generator=generator), dim=-1)
    counts = torch.rand(len(origins), 1, generator=generator) * (torch.arange(len(origins)) % 3 > 0)[:, None]
    sharpness = 0.8 * (SIDE - 1) / (2 * RADIUS)
    return Scene(
        grid, Rays(origins, directions, target, weight, torch.cat([facing, counts], -1).numpy()), _optics(sharpness)
    )


@pytest.fixture(scope="module", params=[0.0, 0.7], ids=["without normals", "with normals"])
def either(scene: Scene, request: pytest.FixtureRequest) -> Scene:
    """The scene, judged by its normals, too, or not."""
    return scene._replace(optics=scene.optics._replace(normal_weight=request.param, normal_limit=0.9))


def _optics(sharpness: float) -> Optics:
    return Optics(sharpness, 5 / sharpness, 1 / sharpness, 0.4, 0.5, 1.0, 0.02)


def _run(scene: Scene) -> Buffers:
    buffers = make_buffers(SIDE, len(scene.rays.weight))
    render_and_backpropagate(scene.grid, SIDE, RADIUS, scene.rays, scene.optics, buffers, 0)
    return buffers


def _twin(scene: Scene, grid: torch.Tensor, sharpness: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels and losses by PyTorch, on the sections that belong to the scene's own optics."""
    origins, directions, target, weight, facing = (torch.from_numpy(part) for part in scene.rays)
    image = torch_render.rendered(
        grid, origins, directions, side=SIDE, radius=RADIUS, optics=scene.optics, sharpness=sharpness
    )
    return image.pixels, torch_render.ray_losses(image, target, weight, facing, scene.optics)


def test_the_opacity_of_a_section_is_that_of_the_paper() -> None:
    distance = torch.tensor([[0.3, 0.1, -0.05, 0.02, -0.2]], dtype=torch.float64)
    sharpness = 7.0
    phi = 1 / (1 + torch.exp(-sharpness * distance[0]))
    alpha = [max(float((phi[i] - phi[i + 1]) / phi[i]), 0.0) for i in range(4)]  # equation 13
    assert alpha[2] == 0  # leaving the surface is not a hit
    through = np.prod([1 - value for value in alpha])
    black = torch.zeros(1, 5, 3, dtype=torch.float64)
    pixel = torch_render.composite(distance, black, black, torch.tensor([5]), sharpness).pixels[0]
    torch.testing.assert_close(pixel, torch.tensor([through] * 3 + [1 - through], dtype=torch.float64))


def test_sharper_means_a_thinner_shell_of_opacity_around_the_surface() -> None:
    distance = torch.linspace(0.3, -0.3, 121, dtype=torch.float64)[None]
    position = (distance[:, 1:, None] + distance[:, :-1, None]).abs().repeat(1, 1, 3) / 2
    color = torch.cat(
        [position, position[:, -1:]], dim=1
    )  # the "colour" is how far from the surface the light comes from
    count = torch.tensor([121])
    images = [torch_render.composite(distance, color, color, count, s) for s in (20.0, 60.0, 200.0)]
    spread = [float(image.pixels[0, 0]) for image in images]
    assert spread[0] > 1.5 * spread[1] > 2.25 * spread[2]


def test_the_loop_renders_the_same_pixels_as_its_twin(either: Scene) -> None:
    buffers = _run(either)
    pixels, losses = _twin(either, torch.from_numpy(either.grid), torch.tensor(either.optics.sharpness))
    assert 50 < int((buffers.samples >= 2).sum()) < len(pixels)  # some rays hit, some miss
    torch.testing.assert_close(torch.from_numpy(buffers.rendered), pixels, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(torch.from_numpy(buffers.loss), losses, atol=2e-5, rtol=1e-4)


def test_sections_lie_where_the_twin_places_them(scene: Scene) -> None:
    origins, directions = (torch.from_numpy(part) for part in scene.rays[:2])
    depths, count = torch_render.march(
        torch.from_numpy(scene.grid), origins, directions, side=SIDE, radius=RADIUS, optics=scene.optics
    )
    assert torch.equal(torch.from_numpy(_run(scene).samples).long(), count)
    for ray in range(0, len(count), 7):
        found = _depths(scene.grid, scene.rays.origins[ray], scene.rays.directions[ray], scene.optics)
        torch.testing.assert_close(torch.from_numpy(found), depths[ray, : count[ray]], atol=1e-5, rtol=1e-5)


def _depths(grid: np.ndarray, origin: np.ndarray, direction: np.ndarray, optics: Optics) -> np.ndarray:
    """Section ends of one ray by the compiled loop."""
    most = most_samples(RADIUS, optics.step)
    depths, value, fraction = (np.zeros((most, *size), np.float32) for size in ((), (4,), (3,)))
    count = march(grid, SIDE, RADIUS, origin, direction, optics, depths, value, np.zeros(most, np.int64), fraction)
    return depths[:count]


def test_a_ray_along_a_flat_face_goes_on_to_its_end() -> None:
    """Cameras at the height of a table top look along it; whatever they see behind it must not be cut off."""
    axis = np.linspace(-RADIUS, RADIUS, SIDE)
    below = np.broadcast_to(axis[None, None], (SIDE,) * 3) - 0.01
    grid = np.concatenate([below.reshape(-1, 1), np.zeros((SIDE**3, 3))], axis=1).astype(np.float32)
    optics = _optics(3 * (SIDE - 1))
    along = Rays(
        np.array([[-2.0, 0.1, 0.02]], np.float32),
        np.array([[1.0, 0.0, 0.0]], np.float32),
        np.ones((1, 4), np.float32),
        np.ones(1, np.float32),
        np.zeros((1, 4), np.float32),
    )
    found = _depths(grid, along.origins[0], along.directions[0], optics)
    assert len(found) > 60
    assert found[-1] > 2 + RADIUS - 2 * optics.step
    origins, directions = (torch.from_numpy(part) for part in along[:2])
    twin = torch_render.march(torch.from_numpy(grid), origins, directions, side=SIDE, radius=RADIUS, optics=optics)
    assert int(twin[1]) == len(found)


def test_gradients_by_hand_are_those_of_autograd(either: Scene) -> None:
    buffers = _run(either)
    grid = torch.from_numpy(either.grid).clone().requires_grad_()
    _twin(either, grid, torch.tensor(either.optics.sharpness))[1].sum().backward()
    assert grid.grad is not None
    found = torch.from_numpy(buffers.gradient.sum(0))
    assert float(grid.grad[:, 0].abs().max()) > 0.1
    torch.testing.assert_close(found, grid.grad, atol=2e-4, rtol=2e-3)


def test_the_gradient_of_the_sharpness_is_that_of_autograd(either: Scene) -> None:
    buffers = _run(either)
    sharpness = torch.tensor(either.optics.sharpness, dtype=torch.float64, requires_grad=True)
    _twin(either, torch.from_numpy(either.grid), sharpness)[1].sum().backward()
    assert sharpness.grad is not None
    assert float(buffers.sharpness_gradient.sum(dtype=np.float64)) == pytest.approx(float(sharpness.grad), rel=1e-3)


def test_cells_with_gradients_are_listed_once_per_lane(either: Scene) -> None:
    buffers = _run(either)
    for lane, count in enumerate(buffers.counts):
        listed = buffers.touched[lane, :count]
        assert len(np.unique(listed)) == count
        assert set(np.nonzero(buffers.gradient[lane].any(-1))[0]) <= set(listed)


def test_a_ray_that_misses_shows_white_and_is_charged_for_the_missing_coverage(scene: Scene) -> None:
    origin, direction = np.array([[2.0, 2.0, 2.0]], np.float32), np.array([[1.0, 0.0, 0.0]], np.float32)
    target, weight = np.array([[1.0, 1.0, 1.0, 1.0]], np.float32), np.array([3.0], np.float32)
    facing = np.array([[-1.0, 0.0, 0.0, 1.0]], np.float32)
    optics = scene.optics._replace(normal_weight=1.0)
    buffers = _run(scene._replace(rays=Rays(origin, direction, target, weight, facing), optics=optics))
    assert buffers.rendered[0].tolist() == [1, 1, 1, 0]
    assert float(buffers.loss[0]) == pytest.approx(3.0)
    assert float(buffers.normal_error[0]) == -1
