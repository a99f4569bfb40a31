"""What ties the views together and what does not, and that saving memory and work changes no result."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import SIZE, VIEWS, random_conditions, tiny_denoiser
from torch import Tensor

from epimesh.diffusion.guidance import Branch, DecomposedGuidance, Term
from epimesh.errors import BadInput, BadWeights
from epimesh.stages.syncdreamer.denoiser import GROUPS, JointDenoiser, classifier_free, decomposed
from epimesh.stages.syncdreamer.depth_attention import HEADS, DepthAttention, along
from epimesh.stages.syncdreamer.unet import DepthUNet
from epimesh.stages.syncdreamer.volume import SpatialVolume
from epimesh.stages.syncdreamer.weight_streaming import Streamed
from epimesh.weights.loading import load_part, weights_file

TIME = torch.tensor([500])


@pytest.fixture(scope="module")
def denoiser() -> JointDenoiser:
    return tiny_denoiser()


def step(denoiser: JointDenoiser, noisy: Tensor, guidance: DecomposedGuidance, seed: int = 3) -> Tensor:
    torch.manual_seed(seed)
    conditions = random_conditions(denoiser, len(noisy))
    with torch.no_grad():
        return denoiser(noisy, TIME.expand(len(noisy)), conditions, guidance)


def by_the_book(layer: DepthAttention, x: Tensor, rays: Tensor) -> Tensor:
    """Keys and values of every sample, attention over the depths of every pixel, as the paper describes it."""
    samples = F.relu(layer.norm_context(layer.context(rays)))
    query = layer.to_q(F.silu(layer.norm_in(layer.conv_in(x))))
    key, value = layer.to_k(samples), layer.to_v(samples)
    read = torch.zeros_like(query)
    width = query.shape[1] // HEADS
    for head in range(HEADS):
        part = slice(head * width, (head + 1) * width)
        scores = (query[:, part, None] * key[:, part]).sum(dim=1, keepdim=True) / width**0.5
        read[:, part] = (scores.softmax(dim=2) * value[:, part]).sum(dim=2)
    hidden = layer.conv1(F.relu(layer.norm1(layer.to_out(read))))
    return x + layer.conv2(F.relu(layer.norm2(hidden)))


CONTEXT = 16  # so a head's width differs from the number of heads, and a wrong scale shows


def a_depth_layer() -> DepthAttention:
    layer = DepthAttention(16, CONTEXT)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    return layer.requires_grad_(False)


def test_depth_attention_is_what_the_paper_describes_with_and_without_a_volume() -> None:
    layer = a_depth_layer()
    x, rays = torch.randn(4, 16, 6, 6), torch.randn(2, CONTEXT, 5, 6, 6)
    found = layer(x, rays, [True, False])
    torch.testing.assert_close(found[:2], by_the_book(layer, x[:2], rays), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found[2:], by_the_book(layer, x[2:], torch.zeros_like(rays)), atol=1e-5, rtol=1e-5)


def test_a_pixel_reads_its_own_ray_only() -> None:
    layer = a_depth_layer()
    x, rays = torch.randn(1, 16, 6, 6), torch.randn(1, CONTEXT, 5, 6, 6)
    samples = layer.samples(along(rays))
    changed = samples.clone()
    changed[:, 2, 3] += 1
    difference = (layer.attended(x, samples) - layer.attended(x, changed)).abs().amax(dim=(0, 1))
    assert difference[2, 3] > 1e-3
    difference[2, 3] = 0
    assert torch.equal(difference, torch.zeros(6, 6))


def test_new_depth_layers_change_nothing() -> None:
    x = torch.randn(2, 16, 6, 6)
    assert torch.equal(DepthAttention(16, 8)(x, torch.randn(2, 8, 5, 6, 6), [True]), x)


def test_a_change_in_one_view_reaches_the_others_and_only_by_the_volume(denoiser: JointDenoiser) -> None:
    noisy = torch.randn(1, VIEWS, 4, SIZE, SIZE)
    other = noisy.clone()
    other[:, 2] += 1
    seen = (step(denoiser, noisy, classifier_free(1.0)) - step(denoiser, other, classifier_free(1.0))).abs()
    assert seen[:, [0, 1, 3]].amax(dim=(0, 2, 3, 4)).min() > 1e-4
    torch.manual_seed(3)
    conditions = random_conditions(denoiser)
    blind = [Branch(frozenset({"volume"}))]
    chosen = torch.arange(VIEWS)[None]
    rays = denoiser.rays(noisy, TIME, conditions.view)
    alone = [denoiser.predictions(x, TIME, conditions, rays, chosen, blind)[0] for x in (noisy, other)]
    assert torch.equal(alone[0][[0, 1, 3]], alone[1][[0, 1, 3]])


def test_objects_do_not_see_each_other(denoiser: JointDenoiser) -> None:
    noisy = torch.randn(2, VIEWS, 4, SIZE, SIZE)
    torch.manual_seed(3)
    both = random_conditions(denoiser, 2)
    together = denoiser(noisy, TIME.expand(2), both, classifier_free(2.0))
    second = replace(both, channels=both.channels[1:], tokens=both.tokens[1:], view=both.view[1:])
    torch.testing.assert_close(
        denoiser(noisy[1:], TIME, second, classifier_free(2.0)), together[1:], atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("batch", [1, 3])
def test_fewer_views_at_once_change_nothing(denoiser: JointDenoiser, batch: int) -> None:
    noisy = torch.randn(1, VIEWS, 4, SIZE, SIZE)
    whole = step(denoiser, noisy, decomposed(0.5, 2.0, 1.0))
    denoiser.unet.batch = batch
    try:
        torch.testing.assert_close(step(denoiser, noisy, decomposed(0.5, 2.0, 1.0)), whole, atol=1e-4, rtol=1e-4)
    finally:
        denoiser.unet.batch = 1_000_000


def test_weights_read_layer_by_layer_give_the_same_and_stay_in_their_file(
    denoiser: JointDenoiser, tmp_path: Path
) -> None:
    denoiser.unet.save_pretrained(tmp_path / "unet")
    denoiser.volume.save_pretrained(tmp_path / "volume")
    unet = load_part(DepthUNet, tmp_path / "unet", on_meta=True)
    unet.keep = Streamed(unet, weights_file(tmp_path / "unet"))
    streamed = JointDenoiser(unet, load_part(SpatialVolume, tmp_path / "volume"))
    noisy = torch.randn(1, VIEWS, 4, SIZE, SIZE)
    expected = step(denoiser, noisy, classifier_free(2.0))
    for _ in range(2):
        torch.testing.assert_close(step(streamed, noisy, classifier_free(2.0)), expected, atol=1e-5, rtol=1e-5)
        assert all(parameter.is_meta for parameter in unet.parameters())


def test_a_model_with_other_sizes_saves_loads_and_trains(tmp_path: Path) -> None:
    denoiser = tiny_denoiser(channels=12)
    denoiser.unet.save_pretrained(tmp_path / "unet")
    denoiser.volume.save_pretrained(tmp_path / "volume")
    again = JointDenoiser(
        DepthUNet.from_pretrained(tmp_path / "unet"), SpatialVolume.from_pretrained(tmp_path / "volume")
    )
    noisy = torch.randn(1, VIEWS, 12, SIZE, SIZE)
    torch.testing.assert_close(
        step(again.eval(), noisy, classifier_free(2.0)), step(denoiser, noisy, classifier_free(2.0))
    )
    conditions = random_conditions(again)
    again(noisy, TIME, conditions, classifier_free(1.0)).square().mean().backward()
    unused = [name for name, parameter in again.named_parameters() if parameter.grad is None]
    # With a single token there is nothing to ask for: the queries of cross-attention get gradients, if only zeros.
    assert unused == []


def test_guidance_without_scale_is_one_branch_and_harmony_view_has_three() -> None:
    assert [len(decomposed(*scales).branches) for scales in ((), (1.0,), (0.0, 2.0, 1.0), (1.0, 2.0, 1.0))] == [
        1,
        2,
        3,
        4,
    ]


def test_harmony_view_is_its_formula(denoiser: JointDenoiser) -> None:
    noisy = torch.randn(1, VIEWS, 4, SIZE, SIZE)
    torch.manual_seed(3)
    conditions = random_conditions(denoiser)
    rays = denoiser.rays(noisy, TIME, conditions.view)
    chosen = torch.arange(VIEWS)[None]

    def alone(branch: Branch) -> Tensor:
        return denoiser.predictions(noisy, TIME, conditions, rays, chosen, [branch])[0]

    full = alone(Branch())
    no_image = alone(Branch(frozenset({"tokens", "channels"})))
    no_volume = alone(Branch(frozenset({"volume"}), (("channels", 4.0),)))
    expected = full + 2 * (full - no_image) + 1 * (full - no_volume)
    found = denoiser(noisy, TIME, conditions, decomposed(0.0, 2.0, 1.0, channels_gain=4.0))[0]
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    plain = denoiser(noisy, TIME, conditions, decomposed(0.0, 2.0, 1.0))[0]
    assert not torch.allclose(found, plain, atol=1e-3)


def test_one_term_that_drops_everything_is_classifier_free_guidance(denoiser: JointDenoiser) -> None:
    full, without = torch.randn(2, 3, 4)
    found = classifier_free(2.5).combined([full, without])
    torch.testing.assert_close(found, without + 2.5 * (full - without))
    assert classifier_free(2.5).branches[1].dropped == set(GROUPS)


def test_guidance_about_a_condition_that_is_not_there_is_refused() -> None:
    guidance = DecomposedGuidance((Term(Branch(frozenset({"depth"})), 1.0),))
    with pytest.raises(BadInput, match="depth"):
        guidance.check(GROUPS)
    classifier_free(2.0).check(GROUPS)


def test_views_sizes_and_volumes_that_do_not_fit_are_named(denoiser: JointDenoiser) -> None:
    for views, size in ((VIEWS + 1, SIZE), (VIEWS, 2 * SIZE)):
        with pytest.raises(BadInput, match=rf"\({views}, 4, {size}, .*\n.*\(4, 4, 8, 8\)"):
            denoiser.volume(torch.randn(1, views, 4, size, size), TIME, torch.randn(1, views, 4))
    with pytest.raises(BadInput, match="is 10, which cannot be halved"):
        SpatialVolume(side=10)
    with pytest.raises(BadInput, match="depths is 44"):
        SpatialVolume(depths=44)
    with pytest.raises(BadWeights, match="4 levels"):
        DepthUNet(frustum_channels=(8, 16, 16))
    with pytest.raises(BadWeights, match="different models"):
        JointDenoiser(denoiser.unet, SpatialVolume(frustum_channels=(8, 16), side=8, volume_channels=(8,)))
