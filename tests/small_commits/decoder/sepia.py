"""A decoder: the colours of old photographs."""

from dataclasses import dataclass, replace

import torch

from epimesh.decoders import VaeDecoder
from epimesh.runtime import Runtime
from epimesh.views import LatentViews, Views

BROWN = torch.tensor([0.6, 0.4, 0.2])[:, None, None]


@dataclass(frozen=True, kw_only=True)
class SepiaDecoder(VaeDecoder):
    """Decodes every view by itself, in brown."""

    def __call__(self, latents: LatentViews, *, runtime: Runtime) -> Views:
        views = super().__call__(latents, runtime=runtime)
        return replace(views, rgb=BROWN * views.alpha + 1 - views.alpha)
