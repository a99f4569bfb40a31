"""DDIM inversion and null-text inversion: what comes back, how far off, and what guidance costs."""

from itertools import pairwise

import pytest
import torch
from gaussian_guide import SCHEDULE, gaussian
from torch import Tensor

from epimesh.diffusion.inversion import inverted, moved, null_text, resampled
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import uniform_timesteps
from epimesh.errors import BadInput

CLEAN = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
LINEAR = gaussian(torch.zeros(1, dtype=torch.float64), 1.5)


def test_a_step_and_its_inverse_with_the_same_noise_are_the_identity() -> None:
    x, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(moved(moved(x, noise, 0.3, 0.6), noise, 0.6, 0.3), x, atol=1e-6, rtol=1e-5)


def test_steps_are_those_of_the_sampler() -> None:
    times = uniform_timesteps(8)
    pivot = inverted(LINEAR, CLEAN, times, SCHEDULE)
    sampled = Ddim(schedule=SCHEDULE, timesteps=times)(LINEAR, pivot.noisiest)
    torch.testing.assert_close(resampled(pivot, LINEAR), sampled)


def test_the_error_of_inversion_falls_as_one_by_the_number_of_steps() -> None:
    errors = []
    for steps in (25, 50, 100, 200):
        pivot = inverted(LINEAR, CLEAN, uniform_timesteps(steps), SCHEDULE)
        errors.append(float((resampled(pivot, LINEAR) - CLEAN).abs().mean()))
    ratios = [first / second for first, second in pairwise(errors)]
    assert all(1.6 < ratio < 2.4 for ratio in ratios)


def test_leaving_the_way_later_comes_back_closer() -> None:
    pivot = inverted(LINEAR, CLEAN, uniform_timesteps(25), SCHEDULE)
    errors = [float((resampled(pivot, LINEAR, first) - CLEAN).abs().mean()) for first in (999, 599, 199)]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(BadInput, match="no time 5 on the way"):
        resampled(pivot, LINEAR, 5)


def test_times_that_do_not_descend_are_refused() -> None:
    with pytest.raises(BadInput, match="Expected at least one, descending"):
        inverted(LINEAR, CLEAN, [1, 500], SCHEDULE)


def told(embedding: Tensor, x: Tensor) -> Tensor:
    return 0.3 * x + 5 * torch.sin(embedding)


def test_null_text_keeps_guided_sampling_on_the_way_and_never_makes_it_worse() -> None:
    clean, null, prompt = torch.randn(3, 4), torch.zeros(4), torch.tensor([0.06, -0.04, 0.05, 0.0])
    pivot = inverted(lambda x, _: told(prompt, x), clean, uniform_timesteps(10), SCHEDULE)

    def conditional(x: Tensor, time: int) -> Tensor:
        return told(prompt, x)

    def unconditional(x: Tensor, time: int, embedding: Tensor) -> Tensor:
        return told(embedding, x)

    found = null_text(pivot, conditional, unconditional, null, guidance=7.5)
    assert bool((found.losses[:, 1] <= found.losses[:, 0]).all())
    assert float(found.losses[:, 1].sum()) < 0.5 * float(found.losses[:, 0].sum())

    def plain(x: Tensor, time: int) -> Tensor:
        without = unconditional(x, time, null)
        return without + 7.5 * (conditional(x, time) - without)

    kept = found.resampled(pivot, conditional, unconditional, 7.5)
    assert (kept - clean).square().mean() < (resampled(pivot, plain) - clean).square().mean()

    same = null_text(pivot, conditional, unconditional, null, guidance=1.0)
    assert torch.equal(same.embeddings, null.expand(10, 4))
    with pytest.raises(BadInput, match="iterations is 0"):
        null_text(pivot, conditional, unconditional, null, guidance=2.0, iterations=0)
