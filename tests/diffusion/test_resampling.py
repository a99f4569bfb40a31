"""Noisy steps taken several times, the hourglass of times, and a sampler split in two."""

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim, Pass, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window, hourglass_timesteps, uniform_timesteps
from epimesh.errors import BadInput

SCHEDULE = NoiseSchedule.scaled_linear()
PAPER = Ddim(schedule=SCHEDULE, timesteps=hourglass_timesteps(), resampling=Resampling(passes=5, window=Window(800)))


def wavy(x: Tensor, time: int) -> Tensor:
    """Some smooth function of the signal and of time."""
    return 0.6 * x.sin() + 0.1 * x + time / 4000


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_hourglass_is_ten_six_and_ten_of_the_fifty_even_times_with_strides_20_100_and_20() -> None:
    times = hourglass_timesteps()
    early, middle, late = times[:10], times[10:16], times[16:]
    assert early == list(range(981, 800, -20))
    assert middle == list(range(701, 200, -100))
    assert late == list(range(181, 0, -20))
    assert set(times) < set(uniform_timesteps(50, spacing="leading"))


def test_other_hourglasses_keep_their_counts_and_descend() -> None:
    for counts in ((1, 1, 1), (7, 3, 9), (200, 600, 200)):
        times = hourglass_timesteps(*counts)
        assert len(times) == sum(counts)
        assert all(later < earlier for earlier, later in pairwise(times))
        assert sum(time >= 800 for time in times) == counts[0]


@pytest.mark.parametrize(
    ("passes", "window", "evaluations"), [(5, Window(800), 66), (1, Window(800), 26), (5, Window(5000, 6000), 26)]
)
@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_the_papers_settings_are_26_steps_and_66_evaluations_with_or_without_guidance(
    passes: int, window: Window, evaluations: int, scale: float
) -> None:
    calls: list[int] = []

    def counting(x: Tensor, time: int) -> Tensor:
        calls.append(time)
        return wavy(x, time)

    sampler = Ddim(
        schedule=SCHEDULE, timesteps=hourglass_timesteps(), resampling=Resampling(passes=passes, window=window)
    )
    sampler(guided(counting, wavy, scale), torch.randn(1, 4))
    assert len(calls) == sampler.evaluations == evaluations
    assert len(set(calls)) == 26


def test_fifty_even_steps_resampled_from_700_up_are_110_evaluations() -> None:
    times = uniform_timesteps(50, spacing="leading")
    assert (
        Ddim(schedule=SCHEDULE, timesteps=times, resampling=Resampling(passes=5, window=Window(700))).evaluations == 110
    )


def test_one_pass_is_bitwise_plain_sampling_and_draws_no_noise() -> None:
    noise = torch.randn(3, 5)
    plain = Ddim(schedule=SCHEDULE, timesteps=hourglass_timesteps())
    once = Ddim(schedule=SCHEDULE, timesteps=hourglass_timesteps(), resampling=Resampling(passes=1))
    random = seeded(4)
    before = random.get_state()
    assert torch.equal(once(wavy, noise, generator=random), plain(wavy, noise))
    assert torch.equal(random.get_state(), before)


def test_more_passes_do_change_the_result_and_a_seed_repeats_it() -> None:
    noise = torch.randn(3, 5)
    found = PAPER(wavy, noise, generator=seeded(1))
    assert not torch.allclose(found, Ddim(schedule=SCHEDULE, timesteps=hourglass_timesteps())(wavy, noise))
    assert torch.equal(found, PAPER(wavy, noise, generator=seeded(1)))
    assert not torch.allclose(found, PAPER(wavy, noise, generator=seeded(2)))


def test_resampling_follows_a_loop_written_by_hand() -> None:
    noise, random = torch.randn(2, 4), seeded(7)
    x, times = noise, hourglass_timesteps()
    for high, low in zip(times, [*times[1:], None], strict=True):
        a_high, a_low = SCHEDULE.alpha_cumprod_at(high), SCHEDULE.alpha_cumprod_at(low)
        for again in reversed(range(5 if high >= 800 else 1)):
            eps = wavy(x, high)
            z = a_low**0.5 * (x - (1 - a_high) ** 0.5 * eps) / a_high**0.5 + (1 - a_low) ** 0.5 * eps
            n = torch.randn(2, 4, generator=random) if again else None
            x = z if n is None else (a_high / a_low) ** 0.5 * z + (1 - a_high / a_low) ** 0.5 * n
    torch.testing.assert_close(PAPER(wavy, noise, generator=seeded(7)), x, atol=1e-5, rtol=1e-5)


def test_the_sampler_says_before_every_evaluation_where_it_is() -> None:
    heard: list[Pass | int] = []

    def denoise(x: Tensor, time: int) -> Tensor:
        heard.append(time)
        return wavy(x, time)

    sampler = Ddim(schedule=SCHEDULE, timesteps=[900, 500], resampling=Resampling(passes=2))
    sampler(denoise, torch.randn(1, 2), listen=heard.append)
    assert heard == [Pass(900, 1, 2), 900, Pass(900, 2, 2), 900, Pass(500), 500]
    assert [moment.is_last for moment in heard[::2] if isinstance(moment, Pass)] == [False, True, True]


@pytest.mark.parametrize(("low", "high"), [(801, 981), (1, 21), (None, 981)])
def test_noise_added_back_leaves_the_mean_and_variance_of_the_forward_process(low: int | None, high: int) -> None:
    count, clean = 200_000, 1.7
    kept_low, kept_high = SCHEDULE.alpha_cumprod_at(low), SCHEDULE.alpha_cumprod_at(high)
    at_low = kept_low**0.5 * clean + (1 - kept_low) ** 0.5 * torch.randn(count, dtype=torch.float64)
    at_high = PAPER.renoised(at_low, low, high, seeded(3))
    variance = 1 - kept_high
    assert abs(float(at_high.mean()) - kept_high**0.5 * clean) < 3 * (variance / count) ** 0.5
    assert abs(float(at_high.var()) - variance) < 3 * variance * (2 / count) ** 0.5


def test_noise_from_a_time_up_to_the_same_time_is_none() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(PAPER.renoised(x, 500, 500), x)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_with_a_generator_for_every_row_no_row_depends_on_the_others(eta: float) -> None:
    sampler = Ddim(schedule=SCHEDULE, timesteps=hourglass_timesteps(), eta=eta, resampling=Resampling())
    noise = torch.randn(4, 3, 2)
    whole = sampler(wavy, noise, generator=[seeded(i) for i in range(4)])
    parts = [sampler(wavy, noise[i : i + 2], generator=[seeded(i), seeded(i + 1)]) for i in (0, 2)]
    assert torch.equal(whole, torch.cat(parts))
    order = [2, 0, 3, 1]
    assert torch.equal(whole[order], sampler(wavy, noise[order], generator=[seeded(i) for i in order]))
    with pytest.raises(ValueError, match="got 3 generators for 4 rows"):
        sampler(wavy, noise, generator=[seeded(i) for i in range(3)])


def test_the_two_parts_of_a_split_sampler_do_what_the_whole_does_also_without_rows_no_longer_needed() -> None:
    noise = torch.randn(3, 4)
    early, late = PAPER.split(600)
    assert list(early.timesteps)[-1] == 601
    assert early.until == 501
    assert early.evaluations + late.evaluations == 66
    whole = PAPER(wavy, noise, generator=[seeded(i) for i in range(3)])
    streams = [seeded(i) for i in range(3)]
    between = early(wavy, noise, generator=streams)
    assert torch.equal(late(wavy, between[:2], generator=streams[:2]), whole[:2])


def test_settings_that_cannot_work_are_named_with_what_was_found() -> None:
    with pytest.raises(BadInput, match=r"passes \(R\) is 0"):
        Resampling(passes=0)
    with pytest.raises(BadInput, match="t_min is 900 and t_max 300"):
        Window(900, 300)
    with pytest.raises(BadInput, match="middle is 0"):
        hourglass_timesteps(10, 0, 10)
    with pytest.raises(BadInput, match="late is 10, but there are 5 times"):
        hourglass_timesteps(late_below=5)
