"""Folders as `epimesh convert` makes them, of models small enough for tests."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from epimesh.conversion.convert import published_scheduler
from epimesh.photo import Photo
from epimesh.stages.shared.photo_token import PhotoToken
from epimesh.stages.syncdreamer.unet import zero123_unet_config

TOKEN = 16


def noisy_photo() -> Photo:
    """A photo of a box of noise."""
    rgba = torch.rand(4, 96, 96, generator=torch.Generator().manual_seed(3))
    rgba[3] = 0
    rgba[3, 20:80, 30:70] = 1
    return Photo(rgba, 20.0, 49.1)


def save_shared_parts(folder: Path) -> None:
    """Autoencoder, CLIP, token and schedule, with random weights."""
    torch.manual_seed(1)
    AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[32] * 4,
        layers_per_block=1,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")
    clip = CLIPVisionConfig(
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=224,
        patch_size=56,
        projection_dim=TOKEN,
        hidden_act="quick_gelu",
    )
    CLIPVisionModelWithProjection(clip).save_pretrained(folder / "image_encoder")
    token = PhotoToken(TOKEN)
    torch.nn.init.normal_(token.projection.weight, std=0.3)
    token.save_pretrained(folder / "photo_token")
    published_scheduler().save_pretrained(folder / "scheduler")


def save_zero123(folder: Path, size: int = 8) -> None:
    """A whole Zero-1-to-3."""
    save_shared_parts(folder)
    config = {**zero123_unet_config((32, 64), TOKEN, size), "layers_per_block": 1}
    UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
