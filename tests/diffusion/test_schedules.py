"""How noise grows: against the definition and against diffusers."""

import pytest
import torch
from known_material import scheduler

from epimesh.diffusion.sampler import clean_and_noise
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps


def test_the_noise_grows_as_in_latent_diffusion() -> None:
    kept = NoiseSchedule.scaled_linear().alphas_cumprod
    torch.testing.assert_close(kept.float(), scheduler().alphas_cumprod, rtol=2e-4, atol=0)
    assert bool((kept.diff() < 0).all())


def test_noising_keeps_the_variance_of_unit_signals() -> None:
    schedule = NoiseSchedule.scaled_linear()
    clean, noise = torch.randn(3, 200_000), torch.randn(3, 200_000)
    noised = schedule.add_noise(clean, noise, torch.tensor([0, 500, 999]))
    torch.testing.assert_close(noised.var(1), torch.ones(3), atol=0.02, rtol=0)
    assert float((noised[0] - clean[0]).abs().mean()) < 0.05
    assert float((noised[2] - noise[2]).abs().mean()) < 0.1


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
def test_signal_and_noise_come_back_from_what_a_network_is_trained_to_predict(prediction: str) -> None:
    schedule = NoiseSchedule.scaled_linear()
    clean, noise = torch.randn(1, 50).double(), torch.randn(1, 50).double()
    for time in (1, 400, 950):
        at = torch.tensor([time])
        target = {"eps": noise, "v": schedule.velocity(clean, noise, at), "x0": clean}[prediction]
        noised = schedule.add_noise(clean, noise, at)
        found = clean_and_noise(noised, target, schedule.alpha_cumprod_at(time), prediction)  # type: ignore[arg-type]
        torch.testing.assert_close(found[0], clean)
        torch.testing.assert_close(found[1], noise)


@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("steps", [1, 4, 10, 50])
def test_the_visited_times_are_those_of_diffusers(spacing: str, steps: int) -> None:
    theirs = scheduler(timestep_spacing=spacing)
    theirs.set_timesteps(steps)
    assert uniform_timesteps(steps, spacing=spacing) == theirs.timesteps.tolist()  # type: ignore[arg-type]


def test_from_a_guess_fewer_times_are_left_and_from_none_at_all_none() -> None:
    assert uniform_timesteps(4, 400) == [399, 299, 199, 99]
    assert uniform_timesteps(6, 3) == [2, 1, 0]
    assert uniform_timesteps(6, 0) == []
    with pytest.raises(ValueError, match="got 0 and 1000"):
        uniform_timesteps(0)
