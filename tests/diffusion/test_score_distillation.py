"""Score distillation: its gradient is the formula, its network has no graph, and known models pull to known places."""

import pytest
import torch
from gaussian_guide import SCHEDULE, gaussian
from torch import Tensor

from epimesh.diffusion.score_distillation import ScoreGradient, saturated_share, surrogate
from epimesh.diffusion.score_guide import as_noise, scaled
from epimesh.errors import BadInput

GRADIENT = ScoreGradient(schedule=SCHEDULE)


def test_the_gradient_is_the_weight_times_the_error_of_the_noise_exactly() -> None:
    network = torch.nn.Conv2d(3, 3, 3, padding=1)
    image, noise = torch.rand(2, 3, 8, 8, requires_grad=True), torch.randn(2, 3, 8, 8)
    seen = []

    def denoise(x: Tensor, time: int) -> Tensor:
        seen.append(network(x))
        return seen[-1]

    wrong = GRADIENT(denoise, image, 400, noise)
    surrogate(image, wrong).backward()
    kept = float(SCHEDULE.alphas_cumprod[400])
    with torch.no_grad():
        expected = (1 - kept) * (network(kept**0.5 * image + (1 - kept) ** 0.5 * noise) - noise)
    assert torch.equal(image.grad, expected)
    assert seen[0].grad_fn is None
    assert network.weight.grad is None


def test_a_guide_that_knows_the_noise_wants_no_change() -> None:
    noise = torch.randn(2, 3, 8, 8)
    assert not GRADIENT(lambda x, time: noise, torch.rand(2, 3, 8, 8), 700, noise).any()


def test_a_velocity_means_the_same_as_the_noise_that_it_is_made_of() -> None:
    clean, noise, time = torch.rand(2, 3, 4, 4), torch.randn(2, 3, 4, 4), torch.tensor([300, 300])
    velocity = SCHEDULE.velocity(clean, noise, time)
    told = as_noise(lambda x, _: velocity, SCHEDULE, "v")(SCHEDULE.add_noise(clean, noise, time), 300)
    torch.testing.assert_close(told, noise)


def test_under_a_gaussian_guide_every_start_ends_in_its_mean() -> None:
    mean, generator = torch.tensor([0.2, -0.7]), torch.Generator().manual_seed(1)
    points = torch.randn(32, 2, generator=generator, requires_grad=True)
    optimizer = torch.optim.Adam([points], lr=0.05)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, 500)
    for _ in range(500):
        optimizer.zero_grad()
        surrogate(points, GRADIENT.at_random(gaussian(mean, 0.5), points.detach(), generator)).backward()
        optimizer.step()
        schedule.step()
    found = points.detach()
    torch.testing.assert_close(found.mean(0), mean, atol=0.03, rtol=0)
    assert float(found.std(0).max()) < 0.1  # the guide's own deviation is .5: modes are sought, not samples


@pytest.mark.parametrize(("guidance", "asked"), [(1.0, ["with"]), (0.0, ["without"]), (3.0, ["without", "with"])])
def test_guidance_asks_only_for_what_it_needs(guidance: float, asked: list[str]) -> None:
    calls: list[str] = []

    def branch(name: str, value: float) -> object:
        return lambda x, time: calls.append(name) or torch.full_like(x, value)

    found = scaled(branch("with", 2.0), branch("without", 1.0), guidance)(torch.zeros(1), 5)
    assert calls == asked
    assert float(found) == 1 + guidance


def test_times_stay_within_their_range_and_an_empty_one_is_refused() -> None:
    narrow = ScoreGradient(schedule=SCHEDULE, earliest=0.5, latest=0.51)
    assert {narrow.random_time(None) for _ in range(300)} == set(range(500, 510))
    with pytest.raises(BadInput, match=r"earliest is 0\.9 and latest 0\.2"):
        ScoreGradient(schedule=SCHEDULE, earliest=0.9, latest=0.2)


def test_black_and_white_are_saturated() -> None:
    assert saturated_share(torch.tensor([0.0, 1.0, 0.5, 0.3])) == 0.5
