"""The small patch autoencoder, decoding the views of an object together: epipolar attention at all of its levels.

    latents -> 3 x [layers of the patch decoder -> epipolar attention -> residual block] -> last layer -> RGBA

Everything that is new starts at zero, so an untrained network is the patch autoencoder's decoder, bit for bit. The
photo is a further source with its own camera, the only one that has not been through latents.

Source: Tang et al. (arXiv:2408.14016), section 3; that its attention suits any decoder is the claim of this file.
"""

from collections.abc import Sequence

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float, Int
from torch import Tensor, nn

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import EpipolarAttention, zeroed
from epimesh.decoders.epipolar.batched_attention import dense_attention
from epimesh.decoders.epipolar.depth import grown_depth, pooled_depth
from epimesh.decoders.epipolar.geometry import Segments, epipolar_segments, ray_offsets, ring_sources
from epimesh.decoders.epipolar.photo_source import FrontEncoder
from epimesh.diffusion.patch_autoencoder import PatchAutoencoder, Residual

_GROWTH_PX = 4  # at the finest level: how far beyond its rough silhouette an object may reach


class SmallEpipolarVae(ModelMixin, ConfigMixin):
    """Decodes latents of the patch autoencoder, the V views of each of B objects together.

    Args:
        latent_channels: of the patch autoencoder; so are patch, widths and blocks.
        patch: side of its patches in pixels.
        widths: channels of its decoder, coarsest first.
        blocks: residual blocks per level.
        samples: S, points per segment at every level, coarsest first.
        neighbours: N, how many other views each view looks at, beside the photo.
        margin: r, half the length of a segment in scene units: how wrong the depth may be.
        head_channels: of the attention.
        photo_channels: of the photo at full resolution.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 12,
        patch: int = 8,
        widths: Sequence[int] = (96, 64, 32),
        blocks: int = 2,
        samples: Sequence[int] = (3, 3, 5),
        neighbours: int = 4,
        margin: float = 0.1,
        head_channels: int = 32,
        photo_channels: int = 16,
    ) -> None:
        super().__init__()
        if len(samples) != len(widths):
            raise ValueError(f"one number of samples per level is needed, got {samples} for {widths}")
        self.plain = PatchAutoencoder(latent_channels, patch, tuple(widths), blocks)
        self.attentions = nn.ModuleList(
            EpipolarAttention(width, neighbours + 1, head_channels=head_channels, norm_groups=1) for width in widths
        )
        self.further = nn.ModuleList(Residual(width) for width in widths)
        for block in self.further:
            zeroed(block.second)
        self.photo_encoder = FrontEncoder((photo_channels, *reversed(widths)))

    @classmethod
    def from_plain(cls, plain: PatchAutoencoder, **settings: object) -> "SmallEpipolarVae":
        """A network that decodes as this autoencoder does, to be trained."""
        shared = ("latent_channels", "patch", "widths", "blocks")
        network = cls(**{name: plain.config[name] for name in shared}, **settings)
        network.plain.load_state_dict(plain.state_dict())
        return network

    @torch.no_grad()
    def segments(
        self,
        cameras: Cameras,
        photo_cameras: Cameras,
        depth: Float[Tensor, "B V H W"],
        targets: Int[Tensor, "B T"] | None = None,
        *,
        jittered: bool = False,
    ) -> list[Segments]:
        """Where every pixel of every level looks, in fp32 whatever autocast says.

        The maps are those of all views, object after object, and then the photos.

        Args:
            cameras: of the V views, the same for all objects, in ring order.
            photo_cameras: one per object, for images of the same size.
            depth: rough camera z at the size of the images, in scene units; infinite where not known.
            targets: the views that `forward` shall decode; all if not given.
            jittered: draws the points of the segments at random within their strata, for training.

        Raises:
            BadInput: the depth is of a size that does not fit.
            StageMismatch: too few views.
        """
        objects, views = depth.shape[:2]
        photo = objects * views + torch.arange(objects, device=depth.device)
        ring = ring_sources(views, self.config.neighbours).to(depth.device)
        ring = ring + views * torch.arange(objects, device=depth.device)[:, None, None]
        sources = torch.cat([ring, photo[:, None, None].expand(-1, views, 1)], dim=2).flatten(0, 1)
        everything = Cameras.joined([cameras] * objects + [photo_cameras])
        made: list[Segments] = []
        with torch.autocast(depth.device.type, enabled=False):
            finest = self._pooled(depth.flatten(0, 1).float(), len(self.config.samples) - 1)
            finest = grown_depth(finest, _GROWTH_PX)
            for level, samples in enumerate(self.config.samples):
                asking = _asking(level + 1 == len(self.config.samples), objects, views, targets, depth.device)
                side = 2 ** (len(self.config.samples) - 1 - level)
                pooled = pooled_depth(finest, finest.shape[1] // side, finest.shape[2] // side)[asking]
                jitter = torch.full((samples,), 0.5, device=depth.device)
                if jittered:
                    jitter = torch.rand(*pooled.shape, samples, device=depth.device)
                offsets = ray_offsets(jitter, float(self.config.margin))
                made.append(
                    epipolar_segments(everything, pooled, sources=sources[asking], offsets=offsets, references=asking)
                )
        return made

    def forward(
        self,
        latents: Float[Tensor, "B V C h w"],
        segments: Sequence[Segments] | None,
        photo_rgb: Float[Tensor, "B 3 H W"],
        targets: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T 4 H W"]:
        """Images of 4 channels (colour on white, coverage; 0 to 1), not clamped.

        Args:
            latents: of unit variance, in ring order.
            segments: where to look, from `segments`; None decodes every view on its own, as before the training.
            photo_rgb: the photos at the size of the images, on white, 0 to 1.
            targets: which views of every object to decode, as `segments` were made for; all if not given.
        """
        objects, views = latents.shape[:2]
        x = flat = latents.flatten(0, 1)
        if segments is None:
            asking = _asking(True, objects, views, targets, flat.device)
            return self.plain.decode(flat.index_select(0, asking)).unflatten(0, (objects, -1))
        photo = self.photo_encoder(photo_rgb)
        layers, last = self._levels()
        for level, level_layers in enumerate(layers):
            for layer in level_layers:
                x = layer(x)
            asking = _asking(level + 1 == len(layers), objects, views, targets, x.device)
            x = self._attended(level, x, photo[level].to(x), asking, segments[level])
            x = self.further[level](x)
        for layer in last:
            x = layer(x)
        return (self.plain.linear(flat.index_select(0, asking)) + x / 2).unflatten(0, (objects, -1))

    def _attended(self, level: int, x: Tensor, photo: Tensor, asking: Int[Tensor, "V"], segments: Segments) -> Tensor:
        layer = self.attentions[level]
        if len(photo) == 1 and len(asking) == len(x):  # of one object it is quicker to skip what is not known
            return layer(x, segments, further=photo)
        return dense_attention(layer, torch.cat([x, photo]), asking, segments)

    def _levels(self) -> tuple[list[list[nn.Module]], list[nn.Module]]:
        """The layers of the patch decoder: those of every level, and what follows the last."""
        layers, blocks = list(self.plain.residual), int(self.config.blocks)
        ends = [1 + blocks + level * (2 + blocks) for level in range(len(self.config.widths))]
        starts = [0, *ends[:-1]]
        return [layers[start:end] for start, end in zip(starts, ends, strict=True)], layers[ends[-1] :]

    def _pooled(self, depth: Float[Tensor, "V H W"], level: int) -> Float[Tensor, "V h w"]:
        side = self.config.patch // 2**level
        return pooled_depth(depth, depth.shape[1] // side, depth.shape[2] // side)


def _asking(
    finest: bool, objects: int, views: int, targets: Int[Tensor, "B T"] | None, device: torch.device
) -> Int[Tensor, "V"]:
    """Which maps ask: all views, as others look at them in turn; at the finest level those that are wanted."""
    if not finest or targets is None:
        return torch.arange(objects * views, device=device)
    return (targets + views * torch.arange(objects, device=device)[:, None]).flatten()
