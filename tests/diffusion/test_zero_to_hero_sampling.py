"""Zero-to-Hero on a UNet with Stable Diffusion's layers: as its slow twin, reaching what it should, leaking nothing."""

import threading
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace

import pytest
import torch
from diffusers import UNet2DConditionModel
from hero_by_hand import sampled_by_hand
from tiny_unet import denoiser, tiny_unet, views
from torch import Tensor

from epimesh.diffusion.attention_control.controller import (
    PHOTO,
    AttentionCall,
    AttentionControl,
    AttentionController,
    Layers,
    Row,
)
from epimesh.diffusion.attention_control.map_filter import FilterRun, MapFilter
from epimesh.diffusion.attention_control.mutual import MutualRun, MutualSelfAttention
from epimesh.diffusion.attention_control.processor import controlled
from epimesh.diffusion.guidance import guided
from epimesh.diffusion.sampler import Ddim, Resampling
from epimesh.diffusion.schedules import NoiseSchedule, Window
from epimesh.errors import BadInput

SIZE = 8
DECODER = Layers(inside=("up_blocks",), resolutions=(8, 4))
MUTUAL, FILTER = MutualSelfAttention(layers=DECODER), MapFilter(half=False)
SCHEDULE = NoiseSchedule.scaled_linear()
SHORT = Ddim(schedule=SCHEDULE, timesteps=[981, 801, 601, 1], resampling=Resampling(passes=2))
LONGER = replace(SHORT, timesteps=[981, 801, 601, 401, 1], resampling=Resampling(passes=3))


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return tiny_unet(SIZE).double()


def streams(rows: list[Row]) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 * row.photo + row.view + 5) for row in rows]


def starts(rows: list[Row]) -> Tensor:
    return torch.stack([torch.randn(4, SIZE, SIZE, generator=random) for random in streams(rows)]).double()


def sampled(
    unet: UNet2DConditionModel,
    controls: list[AttentionControl],
    rows: list[Row],
    *,
    sampler: Ddim = SHORT,
    scale: float = 1.0,
    noise: Tensor | None = None,
) -> Tensor:
    """All rows, each with noise of its own."""
    with controlled(unet, controls) as controller:
        without = [row._replace(branch="unconditional") for row in rows]
        denoise = guided(denoiser(unet, rows, controller), denoiser(unet, without, controller), scale)
        noise = starts(rows) if noise is None else noise
        return sampler(denoise, noise, generator=streams(rows), listen=controller.at)


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-8, rtol=1e-8)


def test_views_are_those_of_the_papers_text_followed_step_by_step(unet: UNet2DConditionModel) -> None:
    rows, times = views(2), list(LONGER.timesteps)
    found = sampled(unet, [FILTER, MUTUAL], rows, scale=3.0, sampler=LONGER)
    close(found, sampled_by_hand(unet, SCHEDULE, times, starts(rows), rows, streams(rows), scale=3.0, passes=3))
    assert not torch.allclose(found, sampled(unet, [], rows, scale=3.0, sampler=LONGER), atol=1e-2)


def test_neutral_settings_are_bitwise_plain_sampling(unet: UNet2DConditionModel) -> None:
    rows, once = views(2), replace(SHORT, resampling=Resampling(passes=1))
    plain = sampled(unet, [], rows, sampler=replace(SHORT, resampling=None), scale=3.0)
    neutral = replace(FILTER, fresh=1.0)
    never = replace(MUTUAL, window=Window(2000, 3000))
    assert torch.equal(sampled(unet, [neutral, never], rows, sampler=once, scale=3.0), plain)


def test_without_pool_and_history_only_resampling_is_left(unet: UNet2DConditionModel) -> None:
    rows = views(1)
    neutral = replace(FILTER, fresh=1.0, pool="none")
    assert torch.equal(sampled(unet, [neutral], rows), sampled(unet, [], rows))


def interrupted(times: Sequence[int]) -> Iterator[int]:
    yield from times[:2]
    raise KeyboardInterrupt


def test_the_same_settings_used_again_give_the_same_also_after_an_interruption(unet: UNet2DConditionModel) -> None:
    rows, controls = views(2), [FILTER, MUTUAL]
    first = sampled(unet, controls, rows)
    with pytest.raises(KeyboardInterrupt), controlled(unet, controls) as controller:
        SHORT(denoiser(unet, rows, controller), starts(rows), track=interrupted, listen=controller.at)
    assert torch.equal(sampled(unet, controls, rows), first)


def test_threads_with_models_of_their_own_do_not_meet(unet: UNet2DConditionModel) -> None:
    controls, found = [FILTER, MUTUAL], {}
    rows = {photo: [row._replace(photo=photo) for row in views(1)] for photo in (0, 1)}

    def work(model: UNet2DConditionModel, photo: int) -> None:
        found[photo] = sampled(model, controls, rows[photo])

    threads = [threading.Thread(target=work, args=(deepcopy(unet), photo)) for photo in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for photo, mine in rows.items():
        assert torch.equal(found[photo], sampled(unet, controls, mine))


def test_two_photos_in_a_row_or_at_once_give_what_each_gives_alone(unet: UNet2DConditionModel) -> None:
    first, second = views(2), [row._replace(photo=1) for row in views(2)]
    alone = torch.cat([sampled(unet, [FILTER, MUTUAL], rows) for rows in (first, second)])
    close(sampled(unet, [FILTER, MUTUAL], first + second), alone)


def test_the_order_of_the_batch_does_not_matter(unet: UNet2DConditionModel) -> None:
    rows, order = views(3), [2, 3, 0, 1]
    shuffled = sampled(unet, [FILTER, MUTUAL], [rows[i] for i in order], scale=2.0)
    close(shuffled, sampled(unet, [FILTER, MUTUAL], rows, scale=2.0)[order])


def test_views_in_chunks_are_the_views_at_once(unet: UNet2DConditionModel) -> None:
    rows = views(3, photo=False)
    close(torch.cat([sampled(unet, [FILTER], [row]) for row in rows]), sampled(unet, [FILTER], rows))

    def in_two_calls(x: Tensor, time: int, controller: AttentionController) -> Tensor:
        return torch.cat([denoiser(unet, rows[i : i + 2], controller)(x[i : i + 2], time) for i in (0, 2)])

    with controlled(unet, [FILTER]) as controller:
        found = SHORT(
            lambda x, time: in_two_calls(x, time, controller),
            starts(rows),
            generator=streams(rows),
            listen=controller.at,
        )
    close(found, sampled(unet, [FILTER], rows))


def test_a_change_of_the_photos_branch_reaches_every_view_with_mutual_attention_and_none_without(
    unet: UNet2DConditionModel,
) -> None:
    rows, changed = views(3), starts(views(3))
    changed[-1] += 1
    for controls in ([], [FILTER]):
        assert torch.equal(sampled(unet, controls, rows)[:-1], sampled(unet, controls, rows, noise=changed)[:-1])
    for controls in ([MUTUAL], [FILTER, MUTUAL]):
        difference = sampled(unet, controls, rows)[:-1] - sampled(unet, controls, rows, noise=changed)[:-1]
        assert (difference.abs().amax(dim=(1, 2, 3)) > 1e-3).all()


def test_the_photos_branch_never_depends_on_the_views(unet: UNet2DConditionModel) -> None:
    rows, changed = views(2), starts(views(2))
    changed[:2] += 1
    one, other = (sampled(unet, [FILTER, MUTUAL], rows, noise=noise) for noise in (None, changed))
    close(one[-1], other[-1])
    close(one[-1], sampled(unet, [FILTER], rows)[-1])


def test_a_view_that_is_the_photo_is_not_changed_by_reading_from_it(unet: UNet2DConditionModel) -> None:
    # View 7 is given the same condition as the photo, PHOTO being -1 of eight.
    rows = [Row(7), Row(PHOTO)]
    noise = starts(rows[:1]).repeat(2, 1, 1, 1)
    sampler = replace(SHORT, resampling=None)
    found = sampled(unet, [MUTUAL], rows, noise=noise, sampler=sampler)
    close(found, sampled(unet, [], rows, noise=noise, sampler=sampler))
    close(found[0], found[1])


def test_the_photos_branch_can_be_left_out_when_the_window_is_over(unet: UNet2DConditionModel) -> None:
    rows = views(2)
    whole = sampled(unet, [FILTER, MUTUAL], rows)
    early, late = SHORT.split(MUTUAL.window.t_min)
    random = streams(rows)
    with controlled(unet, [FILTER, MUTUAL]) as controller:
        x = early(denoiser(unet, rows, controller), starts(rows), generator=random, listen=controller.at)
        found = late(denoiser(unet, rows[:2], controller), x[:2], generator=random[:2], listen=controller.at)
    close(found, whole[:2])


def test_mutual_attention_ends_at_700_while_history_goes_on_without_mixing_keys(unet: UNet2DConditionModel) -> None:
    sampler = replace(SHORT, timesteps=[901, 701, 641, 621, 1])
    rows = views(1)
    early = replace(MUTUAL, window=Window(700))
    found = sampled(unet, [FILTER, early], rows, sampler=sampler)
    assert found.isfinite().all()
    assert not torch.allclose(found, sampled(unet, [FILTER, MUTUAL], rows, sampler=sampler), atol=1e-3)


@dataclass
class Noting(MutualRun):
    """Mutual attention that notes where it was asked."""

    layers: Layers = DECODER
    asked: list[tuple[int, str]] = field(default_factory=list)

    def start(self) -> "Noting":
        return self

    def sources(self, call: AttentionCall) -> Sequence[int]:
        self.asked.append((call.moment.time, call.layer))
        return super().sources(call)


def test_mutual_attention_reads_the_photo_in_exactly_six_decoder_layers_and_only_early(
    unet: UNet2DConditionModel,
) -> None:
    noting = Noting(Window(700))
    sampled(unet, [noting], views(1), sampler=replace(SHORT, resampling=None))
    assert {time for time, _ in noting.asked} == {981, 801}
    assert [layer.split(".transformer")[0] for time, layer in noting.asked if time == 981] == [
        f"up_blocks.{block}.attentions.{i}" for block in (2, 3) for i in range(3)
    ]


def test_the_bytes_held_are_two_maps_for_every_layer_and_row_and_none_after_the_window(
    unet: UNet2DConditionModel,
) -> None:
    rows, held = views(2), []
    scores = 2 * (5 * (64**2 + 16**2 + 4**2) + 1)
    with controlled(unet, [MapFilter(layers=Layers())]) as controller:
        denoise = denoiser(unet, rows, controller)

        def watching(x: Tensor, time: int) -> Tensor:
            predicted = denoise(x, time)
            held.append((time, controller.nbytes))
            return predicted

        LONGER(watching, starts(rows), generator=streams(rows), listen=controller.at)
    maps = 2 * len(rows) * scores  # bytes of one half-precision map of every layer and row
    assert [size for time, size in held if time == 981] == [maps, maps, 2 * maps]
    assert [size for time, size in held if time < 600] == [0, 0]
    assert controller.peak_bytes == 2 * maps
    assert controller.nbytes == 0


def test_layers_above_the_limit_hold_nothing(unet: UNet2DConditionModel) -> None:
    rows = views(1)
    with controlled(unet, [MapFilter(layers=Layers(max_tokens=16))]) as controller:
        SHORT(denoiser(unet, rows, controller), starts(rows), generator=streams(rows), listen=controller.at)
    assert controller.peak_bytes == 2 * 2 * len(rows) * 2 * (5 * (16**2 + 4**2) + 1)


def test_mutual_attention_on_a_model_without_a_photos_branch_is_refused(unet: UNet2DConditionModel) -> None:
    with pytest.raises(BadInput, match="no row of the photo"):
        sampled(unet, [MUTUAL], views(2, photo=False))


def test_a_filter_starts_every_run_with_an_empty_memory() -> None:
    one, other = FILTER.start(), FILTER.start()
    assert isinstance(one, FilterRun)
    assert one is not other
    assert one.nbytes == other.nbytes == 0
