"""The decoder of Stable Video Diffusion with epipolar attention: the views of an object are its frames.

    latents -> conv, mid block -> 4 x [residual blocks -> photo -> epipolar attention -> upsampler] -> convs -> images

Everything that is new starts at zero, so an untrained network is Stable Video Diffusion's decoder, bit for bit. Views
come in ring order, which its convolutions over time notice: they are neither cyclic nor symmetric.

Source: Tang et al., "Pixel-Aligned Multi-View Generation with Depth Guided Decoder" (arXiv:2408.14016), section 3. The
spot of the attention is not given there; behind the residual blocks it sees the resolutions that the paper names.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLTemporalDecoder
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import TemporalDecoder
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from epimesh.cameras import Cameras
from epimesh.decoders.epipolar.attention import MAX_BYTES, EpipolarAttention, zeroed
from epimesh.decoders.epipolar.depth import check_depth, filled_depth, pooled_depth
from epimesh.decoders.epipolar.geometry import Segments, epipolar_segments, ray_offsets, ring_sources
from epimesh.decoders.epipolar.photo_source import FrontEncoder
from epimesh.decoders.epipolar.temporal_layers import each, joined, residual_by_view
from epimesh.errors import BadWeights
from epimesh.weights.limits import finite
from epimesh.weights.loading import class_name

SVD = "the folder `vae` of stabilityai/stable-video-diffusion-img2vid"


class EpipolarVae(ModelMixin, ConfigMixin):
    """Decodes the latents of V views together. Its weights are tied to its settings, which are saved with them.

    Args:
        block_out_channels: of the up-blocks from the finest to the coarsest, as diffusers writes them.
        layers_per_block: residual blocks of the mid block; up-blocks have one more.
        latent_channels: of the latents.
        scaling_factor: latents of unit variance are divided by it first.
        samples: S, points per segment at every up-block, from the coarsest to the finest.
        neighbours: N, how many other views each view looks at.
        margin: r, half the length of a segment in scene units: how wrong the depth may be.
        head_channels: of the attention.
        front: how the photo is used: "add" to the view that has its camera, as a further "source", or "none".
        slot_order: what the places in the attention's first layer mean; "ring" is the only one there is.
    """

    _supports_gradient_checkpointing = True

    @register_to_config
    def __init__(
        self,
        block_out_channels: Sequence[int] = (128, 256, 512, 512),
        layers_per_block: int = 2,
        latent_channels: int = 4,
        scaling_factor: float = 0.18215,
        samples: Sequence[int] = (7, 7, 7, 2),
        neighbours: int = 5,
        margin: float = 0.1,
        head_channels: int = 64,
        front: str = "add",
        slot_order: str = "ring",
    ) -> None:
        super().__init__()
        if len(samples) != len(block_out_channels):
            raise ValueError(f"one number of samples per up-block is needed, got {samples} for {block_out_channels}")
        if front not in ("add", "source", "none") or slot_order != "ring":
            raise ValueError(f"front is add, source or none, and slot_order is ring; got {front} and {slot_order}")
        self.gradient_checkpointing = False
        self.decoder = TemporalDecoder(latent_channels, 3, tuple(block_out_channels), layers_per_block)
        coarse_first = list(reversed(block_out_channels))
        slots = neighbours + (front == "source")
        self.attentions = nn.ModuleList(
            EpipolarAttention(channels, slots, head_channels=head_channels) for channels in coarse_first
        )
        self.front_encoder = None if front == "none" else FrontEncoder(block_out_channels)
        self.add_front = nn.ModuleList(zeroed(nn.Conv2d(width, width, 1)) for width in coarse_first * (front == "add"))

    @classmethod
    def from_svd(cls, folder: Path, **settings: Any) -> "EpipolarVae":
        """A network that decodes as Stable Video Diffusion does, to be trained.

        Args:
            folder: its `vae`, in diffusers format (stabilityai/stable-video-diffusion-img2vid).
            settings: of this class, apart from those that the folder decides.

        Raises:
            BadWeights: the folder holds something else, or its decoder's keys or shapes do not fit.
        """
        if class_name(folder) != AutoencoderKLTemporalDecoder.__name__:
            raise BadWeights(
                f"{folder} holds a {class_name(folder)}.\nExpected an AutoencoderKLTemporalDecoder: {SVD}."
            )
        config = AutoencoderKLTemporalDecoder.load_config(folder)
        shared = ("block_out_channels", "layers_per_block", "latent_channels", "scaling_factor")
        network = cls(**{name: config[name] for name in shared}, **settings)
        file = folder / "diffusion_pytorch_model.safetensors"
        try:
            with safe_open(file, "pt") as stored:
                names = [name for name in stored.keys() if name.startswith("decoder.")]  # noqa: SIM118
                network.decoder.load_state_dict(
                    {
                        name.removeprefix("decoder."): finite(stored.get_tensor(name).float(), name, file)
                        for name in names
                    }
                )
        except (OSError, SafetensorError, RuntimeError) as error:
            raise BadWeights(
                f"{file} has no decoder that fits its config.json: {' '.join(str(error).splitlines()[:3])}\n"
                f"Download {SVD} again."
            ) from error
        return network

    def segments(
        self,
        cameras: Cameras,
        depth: Float[Tensor, "V H W"],
        photo_camera: Cameras | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> list[Segments]:
        """Where every pixel of every up-block looks.

        Args:
            cameras: of the views, in ring order.
            depth: rough camera z at the size of the images, in scene units; infinite where not known.
            photo_camera: of the photo, which "source" needs.
            generator: draws the points of the segments at random within their strata, for training. On the CPU.

        Raises:
            BadInput: NaN or depth that is not positive, or of a size that does not fit.
            StageMismatch: too few views.
        """
        check_depth(depth)
        views, levels = len(depth), len(self.config.samples)
        sources = ring_sources(views, self.config.neighbours)
        if self.config.front == "source" and photo_camera is not None:
            cameras = Cameras.joined([cameras, photo_camera.resized(cameras.height, cameras.width)])
            sources = torch.cat([sources, torch.full((views, 1), views)], dim=1)
        filled = filled_depth(depth)
        made = []
        for level, samples in enumerate(self.config.samples):
            shrunk = 2 ** (levels - 1 - level)
            pooled = pooled_depth(filled, depth.shape[1] // shrunk, depth.shape[2] // shrunk)
            jitter = torch.full((samples,), 0.5)
            if generator is not None:
                jitter = torch.rand(*pooled.shape, samples, generator=generator)
            offsets = ray_offsets(jitter.to(pooled), float(self.config.margin))
            made.append(epipolar_segments(cameras, pooled, sources=sources, offsets=offsets))
        return made

    def forward(
        self,
        latents: Float[Tensor, "V C h w"],
        segments: Sequence[Segments] | None,
        *,
        photo_rgb: Float[Tensor, "1 3 H W"] | None = None,
        photo_view: int | None = None,
        view_by_view: bool = False,
        max_bytes: int = MAX_BYTES,
    ) -> Float[Tensor, "V 3 H W"]:
        """Images in [-1, 1], not clamped.

        Args:
            latents: of unit variance, in ring order.
            segments: where to look, from `segments`; None decodes as Stable Video Diffusion does, whatever was trained.
            photo_rgb: the photo at the size of the images, on white, 0 to 1; not needed if `front` is "none".
            photo_view: the view that has the photo's camera, which "add" needs.
            view_by_view: runs one view after the other where that changes nothing, to save memory; without gradients.
            max_bytes: how much may be held at a time for pixels in work.
        """
        decoder = self.decoder
        photo = self._photo_maps(photo_rgb, photo_view) if segments is not None else []
        maps = list((latents / self.config.scaling_factor).split(1 if view_by_view else len(latents)))
        each(decoder.conv_in, maps)
        self._residual(decoder.mid_block.resnets[0], maps, max_bytes)
        middle = decoder.mid_block  # as diffusers, which runs as many pairs as there are
        for attention, resnet in zip(middle.attentions, middle.resnets[1:], strict=False):
            each(attention, maps)
            self._residual(resnet, maps, max_bytes)
        for level, block in enumerate(decoder.up_blocks):
            for resnet in block.resnets:
                self._residual(resnet, maps, max_bytes)
            if segments is not None:
                x = joined(maps)
                if self.config.front == "add":
                    x = x.clone()  # unlike index_add it keeps the memory format, by which convolutions round
                    x[photo_view] += self.add_front[level](photo[level])[0]
                further = photo[level] if self.config.front == "source" else None
                looking = {"further": further, "in_place": view_by_view, "max_bytes": max_bytes}
                x = self.attentions[level](x, segments[level].to(x.device), **looking)
                maps = list(x.split(1 if view_by_view else len(x)))
                del x
            for upsampler in block.upsamplers or []:
                each(upsampler, maps)
        each(nn.Sequential(decoder.conv_norm_out, decoder.conv_act, decoder.conv_out), maps)
        return decoder.time_conv_out(joined(maps).transpose(0, 1)[None])[0].transpose(0, 1)

    def _residual(self, block: nn.Module, maps: list[Tensor], max_bytes: int) -> None:
        if len(maps) > 1:
            residual_by_view(block, maps, max_bytes)
            return
        inputs = (maps[0], None, maps[0].new_zeros(1, len(maps[0])))
        checkpointed = self.gradient_checkpointing and torch.is_grad_enabled()
        maps[0] = self._gradient_checkpointing_func(block, *inputs) if checkpointed else block(*inputs)

    def _photo_maps(self, rgb: Float[Tensor, "1 3 H W"] | None, view: int | None) -> list[Tensor]:
        """The photo at every up-block, coarsest first."""
        if self.front_encoder is None:
            return []
        if rgb is None or (view is None and self.config.front == "add"):
            raise ValueError(f"front is '{self.config.front}': give photo_rgb, and photo_view to add it to a view")
        return self.front_encoder(rgb)
