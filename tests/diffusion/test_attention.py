"""Controls of self-attention: they do nothing when neutral, reach only what they should, and are always taken out."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from diffusers.models.attention_processor import AttnProcessor, FusedAttnProcessor2_0
from tiny_unet import denoiser, tiny_unet, views
from torch import Tensor

from epimesh.diffusion.attention_control.controller import (
    AttentionCall,
    AttentionControl,
    ControlRun,
    Effect,
    Layers,
    Row,
)
from epimesh.diffusion.attention_control.processor import controlled, self_attention
from epimesh.diffusion.sampler import Pass
from epimesh.errors import BadInput


@dataclass
class Looking(ControlRun):
    """Asks for something, notes where, and changes the scores by `change`."""

    touch: Effect = "scores"
    change: float = 1.0
    sites: list[AttentionCall] = field(default_factory=list)
    layers: Layers = Layers()

    def start(self) -> "Looking":
        return self

    def touches(self, moment: Pass) -> Effect:
        return self.touch if moment.time >= 500 else "nothing"

    def scores(self, scores: Tensor, call: AttentionCall) -> Tensor:
        self.sites.append(call)
        return scores * self.change


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return tiny_unet()


def run(unet: UNet2DConditionModel, controls: list[AttentionControl], x: Tensor, time: int = 700) -> Tensor:
    rows = views(len(x), photo=False)
    with controlled(unet, controls) as controller:
        controller.at(Pass(time))
        return denoiser(unet, rows, controller)(x, time)


@pytest.mark.parametrize("touch", ["scores", "keys"])
def test_a_control_that_changes_nothing_gives_diffusers_result(touch: Effect) -> None:
    unet, x = tiny_unet().double(), torch.randn(2, 4, 16, 16).double()
    plain = denoiser(unet, views(2, photo=False))(x, 700)
    torch.testing.assert_close(run(unet, [Looking(touch)], x), plain, atol=1e-10, rtol=1e-10)
    assert not torch.allclose(run(unet, [Looking("scores", change=0.0)], x), plain, atol=1e-3)


def test_where_no_control_is_at_work_the_model_is_bitwise_itself(unet: UNet2DConditionModel) -> None:
    x = torch.randn(2, 4, 16, 16)
    looking = Looking("scores", change=0.0)
    plain = denoiser(unet, views(2, photo=False))(x, 400)
    assert torch.equal(run(unet, [looking], x, 400), plain)
    assert torch.equal(run(unet, [], x, 400), plain)
    assert looking.sites == []


@pytest.mark.parametrize("kind", ["unconditional UNet", "autoencoder"])
def test_attention_on_images_with_normalisation_and_residual_is_diffusers_too(kind: str) -> None:
    if kind == "autoencoder":
        model = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4).eval()
        x = torch.randn(2, 3, 8, 8)
    else:
        down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
        model = UNet2DModel(
            block_out_channels=(8, 16),
            down_block_types=down,
            up_block_types=up,
            norm_num_groups=4,
            attention_head_dim=4,
        ).eval()
        x = torch.randn(2, 3, 8, 8)

    def denoise(x: Tensor, time: int) -> Tensor:
        with torch.no_grad():
            return model(x).sample if kind == "autoencoder" else model(x, time).sample

    looking = Looking()
    plain = denoise(x, 700)
    with controlled(model, [looking]) as controller:
        controller.at(Pass(700))
        found = controller.with_rows(denoise, views(2, photo=False))(x, 700)
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    assert len({call.layer for call in looking.sites}) == len(self_attention(model)) > 1


def test_scores_built_a_few_rows_at_a_time_are_the_same(
    unet: UNet2DConditionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(5, 4, 16, 16)
    whole, parts = Looking(change=0.5), Looking(change=0.5)
    expected = run(unet, [whole], x)
    monkeypatch.setattr(processor, "SCORES_AT_ONCE", 2 * 2 * 256 * 256)
    torch.testing.assert_close(run(unet, [parts], x), expected, atol=1e-5, rtol=1e-5)
    first = parts.sites[0].layer
    assert [len(call.rows) for call in parts.sites if call.layer == first] == [2, 2, 1]
    assert [row.view for call in parts.sites if call.layer == first for row in call.rows] == [0, 1, 2, 3, 4]


def test_controls_see_every_self_attention_layer_and_no_cross_attention(unet: UNet2DConditionModel) -> None:
    looking = Looking()
    run(unet, [looking], torch.randn(1, 4, 16, 16))
    seen = [call.layer for call in looking.sites]
    assert len(seen) == 16
    assert all(".attn1" in name for name in seen)
    assert sorted(seen) == sorted(self_attention(unet))


@pytest.mark.parametrize(
    ("layers", "count"),
    [
        (Layers(inside=("up_blocks",)), 9),
        (Layers(inside=("up_blocks",), resolutions=(16, 8)), 6),
        (Layers(resolutions=(2,)), 1),
        (Layers(max_tokens=64), 11),
        (Layers(inside=("mid_block", "down_blocks.0")), 3),
    ],
)
def test_layers_are_chosen_by_name_resolution_and_size(unet: UNet2DConditionModel, layers: Layers, count: int) -> None:
    looking = Looking(layers=layers)
    run(unet, [looking], torch.randn(1, 4, 16, 16))
    assert len(looking.sites) == count


def test_tokens_that_are_no_square_have_no_resolution() -> None:
    assert Layers(resolutions=(4,)).have("x", 16)
    assert not Layers(resolutions=(4,)).have("x", 17)


def test_controls_work_one_after_the_other(unet: UNet2DConditionModel) -> None:
    x = torch.randn(1, 4, 16, 16)
    both = run(unet, [Looking(change=0.5), Looking(change=0.5)], x)
    torch.testing.assert_close(both, run(unet, [Looking(change=0.25)], x))


def test_an_exception_or_an_abandoned_generator_restores_the_model(unet: UNet2DConditionModel) -> None:
    before = dict(unet.attn_processors)

    def working() -> Iterator[int]:
        with controlled(unet, [Looking()]):
            assert unet.attn_processors != before
            yield 1

    with pytest.raises(KeyError), controlled(unet, [Looking()]):
        raise KeyError
    assert unet.attn_processors == before
    abandoned = working()
    next(abandoned)
    abandoned.close()
    assert unet.attn_processors == before


def test_a_second_control_of_the_same_model_is_refused_and_harms_nothing(unet: UNet2DConditionModel) -> None:
    before = dict(unet.attn_processors)
    with controlled(unet, [Looking()]):
        with pytest.raises(BadInput, match="controlled already"), controlled(unet, [Looking()]):
            pass
        assert unet.attn_processors != before
    assert unet.attn_processors == before


def test_another_thread_that_uses_the_model_meanwhile_is_not_steered(unet: UNet2DConditionModel) -> None:
    x = torch.randn(1, 4, 16, 16)
    plain_denoiser = denoiser(unet, views(1, photo=False))
    plain, found = plain_denoiser(x, 700), []
    with controlled(unet, [Looking(change=0.0)]) as controller:
        controller.at(Pass(700))
        other = threading.Thread(target=lambda: found.append(plain_denoiser(x, 700)))
        other.start()
        other.join()
    assert torch.equal(found[0], plain)


def test_other_processors_stay_what_they_were() -> None:
    unet = tiny_unet()
    unet.set_attn_processor(AttnProcessor())
    before = dict(unet.attn_processors)
    with controlled(unet, [Looking(layers=Layers(inside=("mid_block",)))]):
        changed = [name for name, processor in unet.attn_processors.items() if processor is not before[name]]
    assert changed == ["mid_block.attentions.0.transformer_blocks.0.attn1.processor"]
    assert dict(unet.attn_processors) == before


def test_what_cannot_be_controlled_is_named(unet: UNet2DConditionModel) -> None:
    with pytest.raises(BadInput, match=r"asks for 'up_block\.9'.*\n.*up_blocks\.1"):
        run(unet, [Looking(layers=Layers(inside=("up_block.9",)))], torch.randn(1, 4, 16, 16))
    with pytest.raises(BadInput, match=r"fits none of the 16 .* 256, 64, 16, 4 \(resolution 16, 8, 4, 2\)"):
        run(unet, [Looking(layers=Layers(resolutions=(32,)))], torch.randn(1, 4, 16, 16))
    with pytest.raises(BadInput, match="no self-attention layers"), controlled(bare_unet(), [Looking()]):
        pass
    fused = tiny_unet()
    fused.fuse_qkv_projections()
    assert isinstance(next(iter(fused.attn_processors.values())), FusedAttnProcessor2_0)
    with pytest.raises(BadInput, match="attends by FusedAttnProcessor2_0"), controlled(fused, [Looking()]):
        pass


def bare_unet() -> UNet2DModel:
    return UNet2DModel(
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
        add_attention=False,
    )


def call_without_telling(unet: UNet2DConditionModel, at: Pass | None, told: list[Row] | None) -> None:
    rows = views(2, photo=False)
    with controlled(unet, [Looking()]) as controller:
        if at is not None:
            controller.at(at)
        denoise = denoiser(unet, rows)
        denoise = denoise if told is None else controller.with_rows(denoise, told)
        denoise(torch.randn(2, 4, 16, 16), 700)


@pytest.mark.parametrize(
    ("at", "told", "message"),
    [
        (None, views(2), "listen=controller[.]at"),
        (Pass(700), None, "2 rows, but no rows were told"),
        (Pass(700), views(2), "2 rows, but 3 rows were told"),
        (Pass(700), [Row(0), Row(0)], "two are the same"),
    ],
)
def test_a_model_called_without_saying_where_and_for_whom_is_refused(
    unet: UNet2DConditionModel, at: Pass | None, told: list[Row] | None, message: str
) -> None:
    before = dict(unet.attn_processors)
    with pytest.raises(BadInput, match=message):
        call_without_telling(unet, at, told)
    assert unet.attn_processors == before
