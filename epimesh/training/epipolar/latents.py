"""What the decoder is trained to decode: latents of true views, made once and kept beside them."""

from pathlib import Path

import torch
from diffusers import AutoencoderKLTemporalDecoder
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from epimesh import weights
from epimesh.files.atomic import atomic_file
from epimesh.training.epipolar.data import PosedObject
from epimesh.weights.loading import load_network


class ViewLatents:
    """Encodes as Stable Diffusion does, whose encoder Stable Video Diffusion has kept.

    Args:
        svd: the folder `vae` of stabilityai/stable-video-diffusion-img2vid.
        keep: write the latents of every object into its folder, and read them from there.
    """

    def __init__(self, svd: str, keep: bool) -> None:
        vae = load_network(AutoencoderKLTemporalDecoder, weights.resolve(svd))
        self._encoder = nn.Sequential(vae.encoder, vae.quant_conv).requires_grad_(False)
        self._scaling = float(vae.config.scaling_factor)
        self._name = f"latents-{weights.identity(svd)}.safetensors" if keep else None

    def to(self, device: torch.device) -> None:
        """Moves the encoder."""
        self._encoder.to(device)

    @torch.no_grad()
    def __call__(self, views: PosedObject) -> Float[Tensor, "V C h w"]:
        """The most likely latents, of unit variance; nothing random, in fp32 whatever autocast says."""
        file = None if self._name is None else Path(views.folder) / self._name
        if file is not None and (kept := _kept(file)) is not None:
            return kept.to(views.rgb.device)
        with torch.autocast(views.rgb.device.type, enabled=False):
            moments = self._encoder(views.rgb.float() * 2 - 1)
        latents = (moments.chunk(2, dim=1)[0] * self._scaling).contiguous()
        if file is not None:
            with atomic_file(file) as unfinished:
                save_file({"latents": latents.cpu()}, unfinished)
        return latents


def _kept(file: Path) -> Tensor | None:
    """What an earlier step has left; nothing if it cannot be read, for it is made again."""
    try:
        return load_file(file)["latents"]
    except (OSError, SafetensorError, KeyError):
        return None
