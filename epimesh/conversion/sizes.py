"""The configurations of a model's parts, read from the shapes of its tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epimesh.stages.syncdreamer.unet import zero123_unet_config

Shapes = Mapping[str, tuple[int, ...]]
UNET = "model.diffusion_model."
VAE = "first_stage_model."


@dataclass(frozen=True, kw_only=True)
class Unstated:
    """Sizes that leave no trace in the shapes of the tensors. The defaults are those of the published models.

    Args:
        heads: of the UNet's attention.
        latent_size: side of the latents.
        volume_side: voxels along each side of SyncDreamer's volume.
        depths: samples along each ray of SyncDreamer.
        clip_head_width: channels per head of CLIP.
        scaling: what latents are multiplied by.
        half_side: half the side of SyncDreamer's volume, in scene units.
        half_depth: how far its depths reach around the origin, in scene units.
    """

    heads: int = 8
    latent_size: int = 32
    volume_side: int = 32
    depths: int = 48
    clip_head_width: int = 64
    scaling: float = 0.18215
    half_side: float = 0.5
    half_depth: float = 0.86603


PUBLISHED = Unstated()


def unet_layers(shapes: Shapes) -> tuple[int, int]:
    """Levels of the UNet, and residual blocks per level on the way down."""
    blocks = _count(shapes, UNET + "input_blocks.")
    downs = [block for block in range(blocks) if f"{UNET}input_blocks.{block}.0.op.weight" in shapes]
    layers = (downs[0] if downs else blocks) - 1
    return len(downs) + 1, layers


def unet_config(shapes: Shapes, unstated: Unstated) -> dict[str, Any]:
    """Config of the `UNet2DConditionModel`."""
    levels, layers = unet_layers(shapes)
    first_blocks = [1 + level * (layers + 1) for level in range(levels)]
    channels = [shapes[f"{UNET}input_blocks.{block}.0.in_layers.2.weight"][0] for block in first_blocks]
    token = shapes[f"{UNET}middle_block.1.transformer_blocks.0.attn2.to_k.weight"][1]
    config = zero123_unet_config(channels, token, unstated.latent_size)
    conv_in = shapes[f"{UNET}input_blocks.0.0.weight"]
    out = shapes[f"{UNET}out.2.weight"][0]
    return {
        **config,
        "in_channels": conv_in[1],
        "out_channels": out,
        "layers_per_block": layers,
        "attention_head_dim": unstated.heads,
    }


def frustum_channels(shapes: Shapes) -> list[int]:
    """Channels of the samples along the rays, finest first."""
    prefix = "spatial_volume.frustum_volume_feats."
    first = [shapes[f"{prefix}conv0.weight"][0]]
    levels = _count(shapes, f"{prefix}up", ".norm.weight") + 1
    return first + [shapes[f"{prefix}conv{2 * level + 1}.conv.weight"][0] for level in range(levels - 1)]


def volume_config(shapes: Shapes, unstated: Unstated) -> dict[str, Any]:
    """Config of the `SpatialVolume`, but for its cameras."""
    encoder = shapes["spatial_volume.target_encoder.init_conv.weight"]
    prefix = "spatial_volume.spatial_volume_feats."
    volume = [shapes[f"{prefix}init_conv.weight"][0]]
    level = 0
    while f"{prefix}conv{2 * level + 2}_0.conv.weight" in shapes:
        volume.append(shapes[f"{prefix}conv{2 * level + 2}_0.conv.weight"][0])
        level += 1
    return {
        "views": shapes["azimuth"][0],
        "latent_size": unstated.latent_size,
        "latent_channels": encoder[1],
        "side": unstated.volume_side,
        "depths": unstated.depths,
        "encoder_width": encoder[0],
        "volume_channels": volume,
        "frustum_channels": frustum_channels(shapes),
        "time_width": shapes["time_embed.0.weight"][1],
        "half_side": unstated.half_side,
        "half_depth": unstated.half_depth,
    }


def vae_layers(shapes: Shapes) -> tuple[int, int]:
    """Levels of the autoencoder, and residual blocks per level of its encoder."""
    levels = _count(shapes, f"{VAE}encoder.down.", ".block.0.norm1.weight")
    return levels, _count(shapes, f"{VAE}encoder.down.0.block.", ".norm1.weight")


def vae_config(shapes: Shapes, unstated: Unstated) -> dict[str, Any]:
    """Config of the `AutoencoderKL`."""
    levels, layers = vae_layers(shapes)
    channels = [shapes[f"{VAE}encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)]
    return {
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": channels,
        "layers_per_block": layers,
        "latent_channels": shapes[f"{VAE}post_quant_conv.weight"][1],
        "sample_size": unstated.latent_size * 2 ** (levels - 1),
        "scaling_factor": unstated.scaling,
    }


def clip_layers(shapes: Shapes, prefix: str) -> int:
    """Layers of CLIP's image tower."""
    return _count(shapes, f"{prefix}visual.transformer.resblocks.", ".ln_1.weight")


def clip_config(shapes: Shapes, prefix: str, unstated: Unstated) -> dict[str, Any]:
    """Config of the `CLIPVisionModelWithProjection`."""
    width, _, patch, _ = shapes[f"{prefix}visual.conv1.weight"]
    patches = shapes[f"{prefix}visual.positional_embedding"][0] - 1
    return {
        "hidden_size": width,
        "intermediate_size": shapes[f"{prefix}visual.transformer.resblocks.0.mlp.c_fc.weight"][0],
        "num_hidden_layers": clip_layers(shapes, prefix),
        "num_attention_heads": width // unstated.clip_head_width,
        "patch_size": patch,
        "image_size": round(patches**0.5) * patch,
        "projection_dim": shapes[f"{prefix}visual.proj"][1],
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }


def _count(shapes: Shapes, prefix: str, suffix: str = "") -> int:
    """How many consecutive numbers follow the prefix (and come before the suffix)."""
    rests = [name[len(prefix) :] for name in shapes if name.startswith(prefix) and name.endswith(suffix)]
    numbers = {rest.partition(".")[0] for rest in rests if suffix == "" or rest.partition(".")[2] == suffix[1:]}
    count = 0
    while str(count) in numbers:
        count += 1
    return count
