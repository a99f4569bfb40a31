"""From occupancy to a surface that shows what the photo shows."""

import numpy as np
import torch

from epimesh.photo import Photo
from epimesh.stages.volume_prior.distances import signed_distances
from epimesh.stages.volume_prior.grid import grid_points
from epimesh.stages.volume_prior.network import SIDE
from epimesh.stages.volume_prior.silhouette import honoured
from epimesh.surface import GridSurface

RESOLUTION = 129
SPACING = SIDE / (RESOLUTION - 1)


def ball(radius: float, centre: tuple[float, float, float] = (0, 0, 0)) -> torch.Tensor:
    """Logits of a ball, one per cell of distance."""
    distance = (grid_points(RESOLUTION) - torch.tensor(centre)).norm(dim=1)
    return ((radius - distance) / SPACING).reshape(RESOLUTION, RESOLUTION, RESOLUTION)


def photo_of(alpha: np.ndarray) -> Photo:
    """A grey object of this outline."""
    rgb = torch.full((3, *alpha.shape), 0.5)
    return Photo(torch.cat([rgb, torch.from_numpy(alpha.astype(np.float32))[None]]), 20.0, 49.134)


def shown(logits: torch.Tensor, photo: Photo) -> torch.Tensor:
    """The silhouette of the surface in the photo's camera."""
    surface = GridSurface(signed_distances(logits, SPACING), torch.zeros(3, 2, 2, 2), SIDE / 2)
    return surface.render(photo.camera, steps=400).alpha[0, 0] > 0.5


def test_distances_of_a_ball_are_those_of_a_ball() -> None:
    found = signed_distances(ball(0.4), SPACING)
    true = (grid_points(RESOLUTION).norm(dim=1) - 0.4).reshape(found.shape)
    near = true.abs() < SPACING
    assert (found - true)[near].abs().max() < 0.15 * SPACING
    assert (found - true)[true.abs() < 0.15].abs().max() < 1.1 * SPACING


def test_the_surface_shows_the_photos_silhouette_and_no_more() -> None:
    rows, columns = np.mgrid[:96, :96] + 0.5
    inside = (np.abs(rows - 50) < 22) & (np.abs(columns - 46) < 30)
    inside |= (np.abs(rows - 28) < 8) & (np.abs(columns - 40) < 3)
    photo = photo_of(inside.astype(np.float32))
    found = shown(honoured(ball(0.45), photo), photo).numpy()
    assert (found & inside).sum() / (found | inside).sum() > 0.93


def test_a_part_that_the_volume_lacks_is_filled_next_to_the_rest() -> None:
    rows, columns = np.mgrid[:96, :96] + 0.5
    disc = np.hypot(rows - 60, columns - 48) < 20
    pole = (np.abs(columns - 48) < 2) & (rows > 12) & (rows < 60)
    photo = photo_of((disc | pole).astype(np.float32))
    small = honoured(0.05 * ball(0.2, (0, 0, -0.18)), photo)
    found = shown(small, photo).numpy()
    assert found[pole].mean() > 0.9
    depth = GridSurface(signed_distances(small, SPACING), torch.zeros(3, 2, 2, 2), SIDE / 2).render(photo.camera).depth
    assert depth is not None
    values = depth[0].numpy()[pole & found]
    assert np.ptp(values[np.isfinite(values)]) < 0.45


def test_what_agrees_with_the_photo_already_stays_inside() -> None:
    logits = ball(0.35)
    photo = photo_of(shown(logits, photo_of(np.ones((96, 96)))).numpy().astype(np.float32))
    same = honoured(logits, photo)
    deep = logits > 2.0
    assert torch.equal((same > 0)[deep], (logits > 0)[deep])
    assert not ((same > 0) & (logits < -2)).any()
