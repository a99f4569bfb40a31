"""What a guessed ring of views says of points."""

import torch

from epimesh.cameras import Cameras
from epimesh.stages.volume_prior.evidence import evidence, sampled_evidence


def test_the_compiled_loop_says_what_torch_says() -> None:
    ring = torch.rand(2, 16, 4, 24, 20, generator=torch.manual_seed(0))
    points = (torch.rand(300, 3, generator=torch.manual_seed(1)) - 0.5) * 2.4  # some lie beyond the pictures
    pixels, _ = Cameras.ring(16, size=2).project(points)
    slow = sampled_evidence(ring, (pixels - 1).transpose(0, 1))
    torch.testing.assert_close(evidence(ring, points), slow, atol=1e-5, rtol=0)


def test_a_point_that_all_views_cover_in_red_is_covered_and_red() -> None:
    ring = torch.zeros(1, 16, 4, 16, 16)
    ring[:, :, 0] = ring[:, :, 3] = 1
    ring[:, 0, 3] = 0  # one view sees past it
    found = evidence(ring, torch.zeros(1, 3))[0, 0]
    torch.testing.assert_close(found, torch.tensor([0, 1, 15 / 16, 1, 0, 0]), atol=1e-3, rtol=0)
