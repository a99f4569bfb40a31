"""The reference outputs of SyncDreamer at reduced sizes, and our networks with the same weights, as tests hold them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from parity import check
from torch import Tensor

from epimesh.stages.shared.photo_token import PhotoToken, clip_pixels
from epimesh.stages.syncdreamer.denoiser import Conditions, JointDenoiser


@dataclass(frozen=True, eq=False)
class Oracle:
    folder: Path
    config: dict[str, Any]
    given: dict[str, Tensor]
    expected: dict[str, Tensor]

    def check(self, name: str, found: Tensor, *, within: float) -> None:
        check(f"syncdreamer {name}", found, self.expected[name], within=within)


@dataclass(frozen=True, eq=False)
class Ours:
    folder: Path
    denoiser: JointDenoiser
    token: PhotoToken
    encoder: Any
    vae: Any

    def conditions(self, oracle: Oracle) -> Conditions:
        """From the stored latents of the photo, so that only the token comes from our own networks."""
        view = oracle.expected["v_embed"]
        embedding = self.encoder(clip_pixels(oracle.given["image_bchw"])).image_embeds
        tokens = torch.stack([self.token(embedding, view[:, number]) for number in range(view.shape[1])], dim=1)
        scaling = float(oracle.config["vae"]["scale_factor"])
        return Conditions(oracle.expected["vae.x_input_scaled"] / scaling, tokens, view)
