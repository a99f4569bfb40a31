"""Classifier-free guidance, as a wrapper of a denoiser."""

from torch import Tensor

from epimesh.diffusion.sampler import Denoise


def guided(conditional: Denoise, unconditional: Denoise, scale: float) -> Denoise:
    """A denoiser that goes `scale` times as far from the unconditional prediction as the conditional one does.

    Scale 1 is the conditional denoiser itself: one call per step, and bitwise the same result.

    Source:
        Ho & Salimans, "Classifier-Free Diffusion Guidance" (2022), equation 6 with scale = 1 + w.
    """
    if scale == 1:
        return conditional

    def denoise(x: Tensor, time: int) -> Tensor:
        without = unconditional(x, time)
        return without + scale * (conditional(x, time) - without)

    return denoise
