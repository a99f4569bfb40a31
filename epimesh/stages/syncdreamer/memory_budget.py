"""How many views a joint generator runs at once within a limit of memory.

Every layer runs for all views before the next one does, so some maps of all views are kept whatever the limit: what
their rays see, and the skips of the UNet. A limit only decides how many views a layer takes at once. Coarse layers take
more, in proportion to their fewer pixels; see `unet._Run`.

The published model with guidance, in single precision on a CPU, is taken to need 2.2 GB beyond what the process holds
after encoding the photo (.5 to .9 GB) for all 16 views at once, and 1.8 GB for 8; less is refused. Without a limit all
views run at once: 2.3 GB were measured for a process that only takes a step.
"""

from typing import Any

from epimesh.errors import BadInput
from epimesh.stages.syncdreamer.denoiser import JointDenoiser

# Numbers per channel and pixel that a layer holds while it runs: mostly GEGLU, which works at eight times the channels.
# Measured layer by layer on a CPU at the published size, where it is 19 to 24.
_AT_WORK = 24
_SHREDS = 1.1  # what the allocator holds beyond what is asked of it
_SAMPLES_AT_WORK = 6  # numbers per sample of a ray that depth attention and the frustum network hold


def views_at_once(
    denoiser: JointDenoiser, branches: int, limit_bytes: int | None, held_bytes: int, item_bytes: int = 4
) -> int:
    """How many views fit at the finest resolution; all of them without a limit.

    Args:
        denoiser: the model; it may be on the meta device.
        branches: of guidance.
        limit_bytes: of memory, for everything; None is no limit.
        held_bytes: what is held already, and stays.
        item_bytes: of a number.

    Raises:
        BadInput: not even one view fits.
    """
    if limit_bytes is None:
        return denoiser.views
    for chunks in range(1, denoiser.views + 1):
        views = -(-denoiser.views // chunks)  # even chunks, as few as fit
        if held_bytes + needed_bytes(denoiser, branches, views, item_bytes) <= limit_bytes:
            return views
    least = held_bytes + needed_bytes(denoiser, branches, 1, item_bytes)
    raise BadInput(
        f"--max-memory is {limit_bytes / 1e9:.2f} GB, but one view at a time needs {least / 1e9:.2f} GB "
        f"({held_bytes / 1e9:.2f} GB of them are in use already).\n"
        "Allow more, or use guidance 1, which needs less."
    )


def needed_bytes(denoiser: JointDenoiser, branches: int, views: int, item_bytes: int = 4) -> int:
    """What a step needs beyond what is held before it, with so many views at once: an estimate from above."""
    volume = sum(weight.numel() for weight in denoiser.volume.parameters())
    kept = _kept(denoiser, branches, in_chunks=views < denoiser.views)
    return round(_SHREDS * item_bytes * (volume + kept + _at_work(denoiser, branches, views)))


def _kept(denoiser: JointDenoiser, branches: int, *, in_chunks: bool) -> int:
    """Numbers of the maps that are kept for all views: samples along rays, skips, and the maps between two layers."""
    config, channels = denoiser.volume.config, _channels(denoiser)
    pixels = int(config.latent_size) ** 2
    rays = sum(
        width * (int(config.depths) >> level) * (pixels >> 2 * level)
        for level, width in enumerate(config.frustum_channels)
    )
    skips = 0
    layers = int(denoiser.unet.unet.config.layers_per_block)
    for level, width in enumerate(channels):
        down = width * (pixels >> 2 * level + 2) if level + 1 < len(channels) else 0
        skips += layers * width * (pixels >> 2 * level) + down
    around = (6 if in_chunks else 3) * channels[0] * pixels  # chunks are cut out of one map and joined to another
    return denoiser.views * (rays + branches * (skips + around))


def _at_work(denoiser: JointDenoiser, branches: int, views: int) -> int:
    """Numbers that the largest layer holds while it runs, with its weights."""
    config, pixels = denoiser.volume.config, int(denoiser.volume.config.latent_size) ** 2
    unet, channels = denoiser.unet.unet, _channels(denoiser)
    samples = int(config.frustum_channels[0]) * int(config.depths) * pixels
    counts = [views * _SAMPLES_AT_WORK * samples]
    for level, width in enumerate(channels):
        together = min(views << 2 * level, denoiser.views)
        maps = together * branches * _AT_WORK * width * (pixels >> 2 * level)
        blocks = [unet.down_blocks[level], unet.up_blocks[len(channels) - 1 - level]]
        counts.append(maps + max(_largest_layer(block) for block in blocks))
    return max(counts)


def _largest_layer(block: Any) -> int:
    """Numbers of the weights that are there at once: a residual block's, those of the attention after it, and a copy.

    Convolutions copy their weights into another order, one at a time.
    """
    attentions = getattr(block, "attentions", None) or [None] * len(block.resnets)
    sizes = [
        [weight.numel() for part in parts if part is not None for weight in part.parameters()]
        for parts in zip(block.resnets, attentions, strict=True)
    ]
    return max(sum(weights) + max(weights) for weights in sizes)


def _channels(denoiser: JointDenoiser) -> list[int]:
    return [int(width) for width in denoiser.unet.unet.config.block_out_channels]
