"""Recorded attention maps put back: the same pass is bitwise the same, another takes them over."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny_unet import denoiser, tiny_unet, views
from torch import Tensor

from epimesh.diffusion.attention_control.controller import AttentionControl, Layers, Row
from epimesh.diffusion.attention_control.processor import controlled, self_attention
from epimesh.diffusion.attention_control.recorded_maps import OracleMaps, RecordMaps, true_maps
from epimesh.diffusion.sampler import Pass
from epimesh.diffusion.schedules import NoiseSchedule, Window
from epimesh.errors import BadInput

ROWS = views(2, photo=False)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return tiny_unet(8)


def run(unet: UNet2DConditionModel, controls: list[AttentionControl], x: Tensor, rows: list[Row] = ROWS) -> Tensor:
    with controlled(unet, controls) as controller:
        controller.at(Pass(500))
        return denoiser(unet, rows, controller)(x, 500)


def test_maps_put_back_into_the_pass_they_come_from_change_nothing_bitwise(unet: UNet2DConditionModel) -> None:
    record, x = RecordMaps(), torch.randn(2, 4, 8, 8)
    found = run(unet, [record], x)
    assert len(record.maps) == 16 * 2
    assert torch.equal(run(unet, [OracleMaps(maps=record.maps)], x), found)


def test_maps_of_one_latent_change_the_pass_over_another_where_and_when_asked(unet: UNet2DConditionModel) -> None:
    record, x = RecordMaps(), torch.randn(2, 4, 8, 8)
    run(unet, [record], torch.randn(2, 4, 8, 8))
    plain = run(unet, [], x)
    whole = run(unet, [OracleMaps(maps=record.maps)], x)
    decoder = run(unet, [OracleMaps(maps=record.maps, layers=Layers(inside=("up_blocks",)))], x)
    for one, other in ((whole, plain), (decoder, plain), (whole, decoder)):
        assert not torch.allclose(one, other, atol=1e-3)
    assert torch.equal(run(unet, [OracleMaps(maps=record.maps, window=Window(600))], x), plain)


def test_the_maps_taken_over_belong_to_the_row_whatever_the_order(unet: UNet2DConditionModel) -> None:
    record, x = RecordMaps(), torch.randn(2, 4, 8, 8)
    run(unet, [record], torch.randn(2, 4, 8, 8))
    found = run(unet, [OracleMaps(maps=record.maps)], x)
    swapped = run(unet, [OracleMaps(maps=record.maps)], x.flip(0), ROWS[::-1])
    torch.testing.assert_close(swapped.flip(0), found, atol=1e-4, rtol=1e-4)


def test_true_maps_are_those_of_a_pass_over_the_nearly_clean_truth(unet: UNet2DConditionModel) -> None:
    truth, noise, schedule = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), NoiseSchedule.scaled_linear()
    other = views(2, "unconditional", photo=False)
    predictors = [(denoiser(unet, rows), rows) for rows in (ROWS, other)]
    maps = true_maps(unet, predictors, truth, schedule, noise=noise)
    assert {layer for layer, _ in maps} == set(self_attention(unet))
    assert {row for _, row in maps} == {*ROWS, *other}
    record = RecordMaps()
    with controlled(unet, [record]) as controller:
        controller.at(Pass(5))
        denoiser(unet, ROWS, controller)(schedule.add_noise(truth, noise, torch.tensor([5, 5])), 5)
    assert all(torch.equal(map_, maps[key]) for key, map_ in record.maps.items())


def test_missing_maps_and_maps_of_another_size_are_refused(unet: UNet2DConditionModel) -> None:
    record = RecordMaps()
    run(unet, [record], torch.randn(2, 4, 8, 8))
    with pytest.raises(BadInput, match=r"there is no map of down_blocks.* for Row\(view=5"):
        run(unet, [OracleMaps(maps=record.maps)], torch.randn(1, 4, 8, 8), [Row(5)])
    with pytest.raises(BadInput, match=r"a map of shape \(2, 64, 64\).* needs \(2, 256, 256\)"):
        run(unet, [OracleMaps(maps=record.maps)], torch.randn(2, 4, 16, 16))
