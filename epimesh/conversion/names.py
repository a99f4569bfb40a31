"""What the tensors of latent-diffusion checkpoints are called in diffusers and in this project.

Every map is from the published name (without its prefix) to the new one. They follow from the number of levels and
layers alone, so a reduced model of the same family has the same map, with fewer entries.
"""

from collections.abc import Iterable, Mapping

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
_DEPTH = {
    "proj_in.0": "conv_in",
    "proj_in.1": "norm_in",
    "proj_context.0": "context",
    "proj_context.1": "norm_context",
    "depth_attn.to_q": "to_q",
    "depth_attn.to_k": "to_k",
    "depth_attn.to_v": "to_v",
    "depth_attn.to_out": "to_out",
    "proj_out.0": "norm1",
    "proj_out.2": "conv1",
    "proj_out.3": "norm2",
    "proj_out.5": "conv2",
}
_VOLUME_BLOCK = {"t_conv": "time", "v_conv": "view", "bn": "norm", "norm": "norm", "conv": "conv"}


def renamed(names: Iterable[str], prefixes: Mapping[str, str]) -> dict[str, str]:
    """The new name of every name that begins with one of the old prefixes; a prefix ends at a dot."""
    made = {}
    for name in names:
        module = name
        while module and module not in prefixes:
            module = module.rpartition(".")[0]
        if module:
            made[name] = prefixes[module] + name[len(module) :]
    return made


def _inside(old: str, new: str, parts: Mapping[str, str]) -> dict[str, str]:
    return {f"{old}.{inner}": f"{new}.{outer}" for inner, outer in parts.items()}


def unet_modules(levels: int, layers: int) -> dict[str, str]:
    """Modules of the denoising UNet (`model.diffusion_model.`) as in diffusers' UNet2DConditionModel.

    Args:
        levels: resolutions; all but the coarsest have attention.
        layers: residual blocks per level on the way down; one more on the way up.
    """
    modules = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
        "middle_block.1": "mid_block.attentions.0",
        **_inside("middle_block.0", "mid_block.resnets.0", _RESNET),
        **_inside("middle_block.2", "mid_block.resnets.1", _RESNET),
    }
    for level in range(levels):
        for layer in range(layers):
            block = 1 + level * (layers + 1) + layer
            modules |= _inside(f"input_blocks.{block}.0", f"down_blocks.{level}.resnets.{layer}", _RESNET)
            modules[f"input_blocks.{block}.1"] = f"down_blocks.{level}.attentions.{layer}"
        down = (level + 1) * (layers + 1)
        modules[f"input_blocks.{down}.0.op"] = f"down_blocks.{level}.downsamplers.0.conv"
        for layer in range(layers + 1):
            block = level * (layers + 1) + layer
            modules |= _inside(f"output_blocks.{block}.0", f"up_blocks.{level}.resnets.{layer}", _RESNET)
            if level > 0:
                modules[f"output_blocks.{block}.1"] = f"up_blocks.{level}.attentions.{layer}"
        last = level * (layers + 1) + layers
        modules[f"output_blocks.{last}.{2 if level > 0 else 1}.conv"] = f"up_blocks.{level}.upsamplers.0.conv"
    return modules


def depth_modules(levels: int, layers: int) -> dict[str, str]:
    """Depth attention (`model.diffusion_model.`) as in `DepthUNet`."""
    modules = _inside("middle_conditions", "depth_middle", _DEPTH)
    for level in range(levels - 1):
        for layer in range(layers + 1):
            number = level * (layers + 1) + layer
            modules |= _inside(f"output_conditions.{number}", f"depth_up.{level}.{layer}", _DEPTH)
    return modules


def vae_modules(levels: int, layers: int) -> dict[str, str]:
    """The autoencoder (`first_stage_model.`) as in diffusers' AutoencoderKL."""
    modules = {"quant_conv": "quant_conv", "post_quant_conv": "post_quant_conv"}
    inner = {"norm1": "norm1", "conv1": "conv1", "norm2": "norm2", "conv2": "conv2", "nin_shortcut": "conv_shortcut"}
    for half in ("encoder", "decoder"):
        modules |= {f"{half}.conv_in": f"{half}.conv_in", f"{half}.conv_out": f"{half}.conv_out"}
        modules[f"{half}.norm_out"] = f"{half}.conv_norm_out"
        modules |= _inside(f"{half}.mid.attn_1", f"{half}.mid_block.attentions.0", _VAE_ATTENTION)
        for number in (0, 1):
            modules |= _inside(f"{half}.mid.block_{number + 1}", f"{half}.mid_block.resnets.{number}", inner)
    for level in range(levels):
        up = levels - 1 - level  # the published decoder counts its levels from the finest
        modules[f"encoder.down.{level}.downsample.conv"] = f"encoder.down_blocks.{level}.downsamplers.0.conv"
        modules[f"decoder.up.{level}.upsample.conv"] = f"decoder.up_blocks.{up}.upsamplers.0.conv"
        for layer in range(layers + 1):
            old, new = f"encoder.down.{level}.block.{layer}", f"encoder.down_blocks.{level}.resnets.{layer}"
            modules |= _inside(old, new, inner)
            old, new = f"decoder.up.{level}.block.{layer}", f"decoder.up_blocks.{up}.resnets.{layer}"
            modules |= _inside(old, new, inner)
    return modules


def clip_modules(layers: int) -> dict[str, str]:
    """OpenAI's image tower (`visual.`) as in transformers, but for the joined query, key and value."""
    modules = {
        "visual.conv1": "vision_model.embeddings.patch_embedding",
        "visual.class_embedding": "vision_model.embeddings.class_embedding",
        "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
        "visual.ln_pre": "vision_model.pre_layrnorm",
        "visual.ln_post": "vision_model.post_layernorm",
        "visual.proj": "visual_projection.weight",
    }
    for layer in range(layers):
        old, new = f"visual.transformer.resblocks.{layer}", f"vision_model.encoder.layers.{layer}"
        inner = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
        modules |= _inside(old, new, {**inner, "attn.out_proj": "self_attn.out_proj"})
        modules |= {f"{old}.attn.in_proj_{kind}": f"{new}.self_attn.*_proj.{kind}" for kind in ("weight", "bias")}
    return modules


def volume_modules(levels: int, encoder_blocks: int = 3) -> dict[str, str]:
    """The volume branch (no prefix) as in `SpatialVolume`."""
    modules = {"time_embed.0": "time.0", "time_embed.2": "time.2"}
    encoder = {"init_conv": "conv_in", "final_out.0": "norm_out", "final_out.2": "conv_out"}
    inner = {"time_embed": "time", "view_embed": "view", "conv.0": "norm1", "conv.2": "conv1"}
    for block in range(encoder_blocks):
        parts = {**inner, "conv.3": "norm2", "conv.5": "conv2"}
        encoder |= _inside(f"out_conv{block}", f"blocks.{block}", parts)
    modules |= _inside("spatial_volume.target_encoder", "encoder", encoder)
    spatial, frustum = {"init_conv": "conv_in"}, {"conv0": "conv_in"}
    spatial |= _inside("conv0", "first", _VOLUME_BLOCK)
    for level in range(levels - 1):
        spatial |= _inside(f"conv{2 * level + 1}", f"down.{level}", _VOLUME_BLOCK)
        for block in (0, 1):
            spatial |= _inside(f"conv{2 * level + 2}_{block}", f"same.{level}.{block}", _VOLUME_BLOCK)
        spatial |= _inside(f"conv{2 * (levels - 1) + 1 + level}", f"up.{level}", _VOLUME_BLOCK)
        frustum |= _inside(f"conv{2 * level + 1}", f"down.{level}", _VOLUME_BLOCK)
        frustum |= _inside(f"conv{2 * level + 2}", f"same.{level}", _VOLUME_BLOCK)
        frustum |= _inside(f"up{level}", f"up.{level}", _VOLUME_BLOCK)
    modules |= _inside("spatial_volume.spatial_volume_feats", "volume", spatial)
    return modules | _inside("spatial_volume.frustum_volume_feats", "frustum", frustum)
