"""While views read from the photo, what they say themselves is heard by nobody; otherwise it is."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
import torch
from diffusers import UNet2DConditionModel
from tiny_unet import denoiser, tiny_unet, views
from torch import Tensor, nn

from epimesh.diffusion.attention_control.controller import AttentionControl, Layers
from epimesh.diffusion.attention_control.map_filter import MapFilter
from epimesh.diffusion.attention_control.mutual import MutualSelfAttention
from epimesh.diffusion.attention_control.processor import controlled, self_attention
from epimesh.diffusion.sampler import Pass

MUTUAL = MutualSelfAttention(layers=Layers(inside=("up_blocks",), resolutions=(8, 4)))
ROWS = views(2)  # two views and the photo's


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    return tiny_unet(8)


def once(unet: UNet2DConditionModel, controls: Sequence[AttentionControl], x: Tensor) -> Tensor:
    with controlled(unet, controls) as controller:
        controller.at(Pass(900))
        return denoiser(unet, ROWS, controller)(x, 900)


@contextmanager
def other_keys_and_values(unet: UNet2DConditionModel, disturbed: Sequence[bool]) -> Iterator[None]:
    """Adds noise to those of some rows, in the layers that read from the photo."""
    where = torch.tensor(disturbed)[:, None, None]

    def noisy(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
        return made + where * torch.randn_like(made)

    layers = [layer for name, layer in self_attention(unet).items() if name.startswith(("up_blocks.2", "up_blocks.3"))]
    assert len(layers) == 6
    hooks = [part.register_forward_hook(noisy) for layer in layers for part in (layer.to_k, layer.to_v)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("controls", [[MUTUAL], [MUTUAL, MapFilter()]], ids=["alone", "filtered"])
def test_a_views_own_keys_and_values_mean_nothing_while_it_reads_from_the_photo(
    unet: UNet2DConditionModel, controls: list[AttentionControl]
) -> None:
    x = torch.randn(3, 4, 8, 8)
    found, plain = once(unet, controls, x), once(unet, [], x)
    with other_keys_and_values(unet, [True, True, False]):
        assert torch.equal(once(unet, controls, x), found)
        changed = (once(unet, [], x) - plain).abs().amax(dim=(1, 2, 3))
    assert (changed[:2] > 1e-3).all()
    assert changed[2] == 0


def test_the_photos_keys_and_values_reach_every_view(unet: UNet2DConditionModel) -> None:
    x = torch.randn(3, 4, 8, 8)
    found = once(unet, [MUTUAL], x)
    with other_keys_and_values(unet, [False, False, True]):
        assert ((once(unet, [MUTUAL], x) - found).abs().amax(dim=(1, 2, 3)) > 1e-3).all()
