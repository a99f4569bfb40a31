"""The sampler goes step by step where diffusers' goes, and does nothing when there is nothing to do."""

import pytest
import torch
from known_material import scheduler
from torch import Tensor

from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim
from epimesh.diffusion.schedules import NoiseSchedule, uniform_timesteps

NAMES = {"eps": "epsilon", "v": "v_prediction", "x0": "sample"}


def wavy(x: Tensor, time: int) -> Tensor:
    """Some smooth function of the signal and of time."""
    return 0.6 * x.sin() + 0.1 * x + time / 4000


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize("spacing", ["trailing", "leading"])
@pytest.mark.parametrize("ends_clean", [True, False])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_every_step_is_that_of_diffusers(prediction: str, spacing: str, ends_clean: bool, eta: float) -> None:
    theirs = scheduler(timestep_spacing=spacing, prediction_type=NAMES[prediction], set_alpha_to_one=ends_clean)
    theirs.set_timesteps(10)
    noise = torch.randn(2, 3, 4, 4)
    expected, theirs_random = noise, torch.Generator().manual_seed(5)
    for time in theirs.timesteps.tolist():
        expected = theirs.step(
            wavy(expected, time), time, expected, eta=eta, generator=theirs_random, use_clipped_model_output=False
        ).prev_sample
    ours = Ddim(
        schedule=NoiseSchedule.scaled_linear(ends_clean=ends_clean),
        timesteps=uniform_timesteps(10, spacing=spacing),  # type: ignore[arg-type]
        prediction=prediction,  # type: ignore[arg-type]
        eta=eta,
    )
    found = ours(wavy, noise, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=2e-4)


def test_noise_at_the_last_step_is_left_out_only_where_that_is_asked() -> None:
    schedule, noise = NoiseSchedule.scaled_linear(ends_clean=False), torch.randn(2, 3)
    before = Ddim(schedule=schedule, timesteps=[901, 401], eta=1.0, until=1)
    reached = before(wavy, noise, generator=torch.Generator().manual_seed(5))

    def last(seed: int, noise_at_end: bool) -> Tensor:
        sampler = Ddim(schedule=schedule, timesteps=[1], eta=1.0, noise_at_end=noise_at_end)
        return sampler(wavy, reached, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(last(1, noise_at_end=False), last(2, noise_at_end=False))
    assert not torch.equal(last(1, noise_at_end=True), last(2, noise_at_end=True))


@pytest.mark.parametrize("prediction", ["eps", "v"])
@pytest.mark.parametrize("steps", [1, 7, 100])
def test_a_denoiser_that_knows_the_answer_is_followed_to_it(prediction: str, steps: int) -> None:
    schedule, answer = NoiseSchedule.scaled_linear(), torch.randn(1, 20).double()

    def knows(x: Tensor, time: int) -> Tensor:
        kept = schedule.alpha_cumprod_at(time)
        noise = (x - kept**0.5 * answer) / (1 - kept) ** 0.5
        return noise if prediction == "eps" else kept**0.5 * noise - (1 - kept) ** 0.5 * answer

    sampler = Ddim(schedule=schedule, timesteps=uniform_timesteps(steps), prediction=prediction)  # type: ignore[arg-type]
    torch.testing.assert_close(sampler(knows, torch.randn(1, 20).double()), answer)


def test_without_steps_the_start_comes_back_untouched() -> None:
    start = torch.randn(2, 3)
    sampler = Ddim(schedule=NoiseSchedule.scaled_linear(), timesteps=[])
    assert torch.equal(sampler(wavy, torch.randn(2, 3), start=start), start)
    with pytest.raises(ValueError, match="give a start or timesteps"):
        sampler(wavy, torch.randn(2, 3))


def test_a_start_is_noised_to_the_first_time_that_is_visited() -> None:
    schedule, seen = NoiseSchedule.scaled_linear(), []

    def watching(x: Tensor, time: int) -> Tensor:
        seen.append((x.clone(), time))
        return torch.zeros_like(x)

    start, noise = torch.randn(1, 8), torch.randn(1, 8)
    Ddim(schedule=schedule, timesteps=uniform_timesteps(4, 400))(watching, noise, start=start)
    assert [time for _, time in seen] == [399, 299, 199, 99]
    torch.testing.assert_close(seen[0][0], schedule.add_noise(start, noise, torch.tensor([399])))


def test_guidance_of_one_is_bitwise_the_conditional_denoiser_at_half_the_work() -> None:
    calls = []

    def never(x: Tensor, time: int) -> Tensor:
        calls.append(time)
        return x * 0

    sampler = Ddim(schedule=NoiseSchedule.scaled_linear(), timesteps=uniform_timesteps(5))
    noise = torch.randn(2, 3)
    assert torch.equal(sampler(guided(wavy, never, 1.0), noise), sampler(wavy, noise))
    assert calls == []
    sampler(guided(wavy, never, 1.5), noise)
    assert len(calls) == 5


def test_guidance_leads_from_the_unconditional_prediction_through_the_conditional_one_and_on() -> None:
    x = torch.zeros(1, 1)
    predictions = [float(guided(lambda x, t: x + 3, lambda x, t: x + 1, scale)(x, 0)) for scale in (0.0, 1.0, 2.5)]
    assert predictions == [1, 3, 6]
