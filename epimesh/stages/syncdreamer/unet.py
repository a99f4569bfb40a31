"""The UNet of a joint generator: a diffusers UNet with attention along the rays of every pixel put in between."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from epimesh.errors import BadInput, BadWeights
from epimesh.stages.syncdreamer.depth_attention import DepthAttention
from epimesh.stages.syncdreamer.volume import Pyramid
from epimesh.stages.syncdreamer.weight_streaming import WeightLoader, resident


@dataclass(frozen=True, eq=False)
class Told:
    """What the UNet is told of its rows, which are branches of guidance, then views.

    Args:
        times: of every row.
        tokens: for cross-attention.
        vector: for UNets with a class embedding; None for others.
        rays: what the V views see of the volume, shared by the branches.
        seeing: of every branch, whether it sees the volume.
    """

    times: Int[Tensor, "R"]
    tokens: Float[Tensor, "R N D"]
    rays: Pyramid
    seeing: Sequence[bool]
    vector: Float[Tensor, "R K"] | None = None

    def part(self, views: slice, embedding: Tensor) -> "Part":
        """The same for some of the views, in all branches."""
        branches = len(self.seeing)
        return Part(
            _some(embedding, branches, views),
            _some(self.tokens, branches, views),
            [level[views] for level in self.rays],
            self.seeing,
        )


@dataclass(frozen=True, eq=False)
class Part:
    """What a layer is told of some views in all branches."""

    embedding: Tensor
    tokens: Tensor
    rays: Pyramid
    seeing: Sequence[bool]


Layer = Callable[[Tensor, Part], Tensor]


class DepthUNet(ModelMixin, ConfigMixin):
    """A diffusers UNet that reads a volume: depth attention follows the middle and all but the coarsest upward layers.

    Args:
        unet_config: that of the `UNet2DConditionModel`; None is that of Zero-1-to-3.
        frustum_channels: of the samples along the rays, finest first; one per level of the UNet.

    Raises:
        BadWeights: the UNet has another number of levels.

    Source:
        Liu et al., "SyncDreamer" (arXiv:2309.03453), section 3.3.
    """

    @register_to_config
    def __init__(
        self, unet_config: Mapping[str, Any] | None = None, frustum_channels: Sequence[int] = (64, 128, 256, 512)
    ) -> None:
        super().__init__()
        config = dict(unet_config or zero123_unet_config())
        channels = list(reversed(config["block_out_channels"]))
        context = list(reversed(frustum_channels))
        if len(channels) != len(context):
            raise BadWeights(
                f"The UNet has {len(channels)} levels, but frustum_channels lists {len(context)}.\n"
                "Every level reads the volume at its own resolution: give one number per level."
            )
        self.unet = UNet2DConditionModel.from_config(config)
        layers = int(self.unet.config.layers_per_block) + 1
        self.depth_middle = DepthAttention(channels[0], context[0])
        self.depth_up = nn.ModuleList(
            nn.ModuleList(
                # The last layer of a level ends at the resolution of the next finer one.
                DepthAttention(channels[level], context[min(level + (layer == layers - 1), len(channels) - 1)])
                for layer in range(layers)
            )
            for level in range(1, len(channels))
        )
        self.keep: WeightLoader = resident
        self.batch = 1_000_000  # views at once at the finest resolution; a matter of memory, not of results
        self.recompute = False  # for gradients: compute layers again instead of keeping what they held

    def forward(self, inputs: Float[Tensor, "R C h w"], told: Told) -> Float[Tensor, "R D h w"]:
        """The prediction for every row.

        Raises:
            BadInput: the rays are not sampled at the resolutions of the UNet.
        """
        self._check(inputs, told)
        unet = self.unet
        with self.keep(unet.time_embedding, *([] if unet.class_embedding is None else [unet.class_embedding])):
            embedding = self._embedding(inputs, told)
        run = _Run(told, embedding, self.batch, self.keep, self.recompute and torch.is_grad_enabled())
        x = run([unet.conv_in], _plain(unet.conv_in), inputs)
        skips = [x]
        for block in unet.down_blocks:
            for layer in range(len(block.resnets)):
                x = run(*_layer(block, layer), x)
                skips.append(x)
            for down in block.downsamplers or []:
                x = run([down], _plain(down), x)
                skips.append(x)
        x = self._middle(run, x)
        for level, block in enumerate(unet.up_blocks):
            x = self._up(run, x, level, block, skips)
        out = [unet.conv_norm_out, unet.conv_out]
        return run(out, lambda x, part: unet.conv_out(unet.conv_act(unet.conv_norm_out(x))), x)

    def _embedding(self, inputs: Tensor, told: Told) -> Float[Tensor, "R E"]:
        waves = self.unet.get_time_embed(sample=inputs, timestep=told.times)
        embedding = self.unet.time_embedding(waves)
        if told.vector is None:
            return embedding
        return embedding + self.unet.get_class_embed(sample=inputs, class_labels=told.vector)

    def _middle(self, run: "_Run", x: Tensor) -> Tensor:
        middle = self.unet.mid_block
        first, *resnets = middle.resnets
        x = run([first], _resnet(first), x)
        for attention, resnet in zip(middle.attentions, resnets, strict=True):
            x = run([attention], _attention(attention), x)
            x = run([resnet], _resnet(resnet), x)
        return run([self.depth_middle], _depth(self.depth_middle), x)

    def _up(self, run: "_Run", x: Tensor, level: int, block: Any, skips: list[Tensor]) -> Tensor:
        for layer in range(len(block.resnets)):
            x = run(*_layer(block, layer), x, skips.pop())
            if layer == len(block.resnets) - 1:
                for up in block.upsamplers or []:
                    x = run([up], _plain(up), x)
            if level > 0:
                depth = self.depth_up[level - 1][layer]
                x = run([depth], _depth(depth), x)
        return x

    def _check(self, inputs: Tensor, told: Told) -> None:
        sizes = [inputs.shape[-1] >> level for level in range(len(told.rays))]
        found = [level.shape[-1] for level in told.rays]
        if found != sizes or len(inputs) != len(told.seeing) * len(told.rays[0]):
            raise BadInput(
                f"Got {len(inputs)} rows of latents that need rays sampled at {sizes}, but {len(told.rays[0])} views "
                f"sampled at {found} in {len(told.seeing)} branches.\nUNet and volume belong to different models."
            )


class _Run:
    """Runs one layer after the other, each for all views in chunks, so that each layer's weights are needed once.

    A map of half the side has a quarter of the pixels, so four times as many views fit. They are also needed there: a
    coarse layer has many weights and few pixels, and is only quick when it reads them for many views at once.
    """

    def __init__(self, told: Told, embedding: Tensor, batch: int, keep: WeightLoader, recompute: bool) -> None:
        self.told = told
        self.embedding = embedding
        self.batch = batch
        self.keep = keep
        self.recompute = recompute
        self._finest = told.rays[0].shape[-1]
        self._parts: dict[int, list[tuple[slice, Part]]] = {}

    def __call__(self, modules: list[nn.Module], layer: Layer, x: Tensor, skip: Tensor | None = None) -> Tensor:
        branches = len(self.told.seeing)
        parts = self._chunks(self.batch * (self._finest // x.shape[-1]) ** 2)
        layer = partial(checkpoint, layer, use_reentrant=False) if self.recompute else layer
        with self.keep(*modules):
            if len(parts) == 1:
                return layer(x if skip is None else torch.cat([x, skip], dim=1), parts[0][1])
            made = []
            for chunk, part in parts:
                rows = _some(x, branches, chunk)
                if skip is not None:
                    rows = torch.cat([rows, _some(skip, branches, chunk)], dim=1)
                made.append(layer(rows, part).unflatten(0, (branches, -1)))
        return torch.cat(made, dim=1).flatten(0, 1)

    def _chunks(self, batch: int) -> list[tuple[slice, Part]]:
        count = len(self.told.rays[0])
        batch = min(batch, count)
        if batch not in self._parts:
            chunks = [slice(first, min(first + batch, count)) for first in range(0, count, batch)]
            self._parts[batch] = [(chunk, self.told.part(chunk, self.embedding)) for chunk in chunks]
        return self._parts[batch]


def _some(rows: Tensor, branches: int, views: slice) -> Tensor:
    return rows.unflatten(0, (branches, -1))[:, views].flatten(0, 1)


def _layer(block: Any, number: int) -> tuple[list[nn.Module], Layer]:
    resnet = block.resnets[number]
    attentions = getattr(block, "attentions", None)
    if attentions is None:
        return [resnet], _resnet(resnet)
    attention = attentions[number]
    first, second = _resnet(resnet), _attention(attention)
    return [resnet, attention], lambda x, part: second(first(x, part), part)


def _plain(module: nn.Module) -> Layer:
    return lambda x, part: module(x)


def _resnet(module: nn.Module) -> Layer:
    return lambda x, part: module(x, part.embedding)


def _attention(module: nn.Module) -> Layer:
    return lambda x, part: module(x, encoder_hidden_states=part.tokens, return_dict=False)[0]


def _depth(layer: nn.Module) -> Layer:
    def attend(x: Tensor, part: Part) -> Tensor:
        rays = next(level for level in part.rays if level.shape[-1] == x.shape[-1])
        return layer(x, rays, part.seeing)

    return attend


def zero123_unet_config(
    channels: Sequence[int] = (320, 640, 1280, 1280), token_width: int = 768, latent_size: int = 32
) -> dict[str, Any]:
    """The UNet of Zero-1-to-3, which SyncDreamer starts from: that of Stable Diffusion 1 with 8 input channels.

    Source:
        Liu et al., "Zero-1-to-3" (arXiv:2303.11328); Rombach et al., "Latent Diffusion" (2022).
    """
    attended = len(channels) - 1
    return {
        "sample_size": latent_size,
        "in_channels": 8,
        "out_channels": 4,
        "down_block_types": [*["CrossAttnDownBlock2D"] * attended, "DownBlock2D"],
        "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * attended],
        "block_out_channels": list(channels),
        "layers_per_block": 2,
        "cross_attention_dim": token_width,
        "attention_head_dim": 8,  # diffusers means the number of heads
    }
