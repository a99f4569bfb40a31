"""Views that are inverted and sampled again: without guidance they come back, with it they become more probable."""

from dataclasses import dataclass, replace

import pytest
import torch
from gaussian_guide import GaussianGuide, Knowing
from published_folders import noisy_photo

from epimesh.cameras import Cameras
from epimesh.errors import BadInput, StageMismatch
from epimesh.photo import Photo
from epimesh.pipeline.contracts import ViewGenerator
from epimesh.runtime import Runtime
from epimesh.stages import PivotViews
from epimesh.views import LatentViews

MEAN = torch.tensor([0.9, 0.1, 0.1, 1.0])


@dataclass(frozen=True, kw_only=True)
class Made(ViewGenerator):
    latent_space: str = "pixels"

    def __call__(self, photo: Photo, *, runtime: Runtime) -> LatentViews:
        noise = torch.randn(16, 4, 16, 16, generator=torch.Generator().manual_seed(0))
        return LatentViews(MEAN[:, None, None] + 0.1 * noise, Cameras.ring(16, size=16), photo, self.latent_space)


STAGE = PivotViews(views=Made(), guide=Knowing(make=lambda: GaussianGuide(MEAN)), until=300, steps=60)


def test_without_guidance_views_come_back() -> None:
    given = Made()(noisy_photo(), runtime=Runtime("cpu")).latents
    same = replace(STAGE, guidance=1.0)(noisy_photo(), runtime=Runtime("cpu")).latents
    assert float((same - given).abs().mean()) < 0.03


def test_guidance_moves_views_and_keeps_their_texture() -> None:
    given = Made()(noisy_photo(), runtime=Runtime("cpu")).latents
    made = replace(STAGE, guidance=2.0)(noisy_photo(), runtime=Runtime("cpu")).latents
    assert float((made - given).mean(dim=(0, 2, 3))[0]) > 0.1
    texture = [(part - part.mean(dim=(2, 3), keepdim=True)).flatten() for part in (made, given)]
    assert float(torch.nn.functional.cosine_similarity(*texture, dim=0)) > 0.9


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(StageMismatch, match="works on 'pixels' latents, the views are 'patch'"):
        replace(STAGE, views=Made(latent_space="patch"))(noisy_photo(), runtime=Runtime("cpu"))
    with pytest.raises(BadInput, match="until is 0"):
        replace(STAGE, until=0)
    assert replace(STAGE, views=Made(latent_space="patch")).latent_space == "patch"
