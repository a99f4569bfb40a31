"""What the epipolar decoder consists of, taken away part by part: the ablations of its paper, at the small size.

Every variant is trained on the same data for the same steps, and begins as the same plain decoder.

Source: Tang et al. (arXiv:2408.14016), table 2.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from epimesh.cameras import Cameras
from epimesh.data.posed.depth_noise import DepthNoise
from epimesh.decoders.epipolar.geometry import Segments
from epimesh.decoders.epipolar.small_network import SmallEpipolarVae
from epimesh.training.epipolar.small_training import SmallEpipolarDecoderTraining

_LINE = {"samples": (16, 16, 1), "margin": 0.9}
"""Points over the whole of an object; a line of 16 at the two coarser levels costs as much as can be afforded."""


@dataclass(frozen=True)
class Variant:
    """A way to decode, and to learn it.

    Args:
        looks: where pixels look: not beyond their own view, into the photo alone, all along their epipolar lines
            (depth is not used; not at the finest level, as in the paper), or near their rough depth.
        depth_noise: of the depth in training.
        network: settings of the network that differ.
    """

    looks: Literal["nowhere", "lines", "segments"]
    depth_noise: DepthNoise = field(default_factory=DepthNoise)
    network: dict[str, Any] = field(default_factory=dict)

    def segments(
        self,
        network: SmallEpipolarVae,
        cameras: Cameras,
        photo_cameras: Cameras,
        depth: Float[Tensor, "B V H W"],
        targets: Int[Tensor, "B T"] | None = None,
        *,
        jittered: bool = False,
    ) -> list[Segments] | None:
        """As `SmallEpipolarVae.segments`, where this variant looks."""
        if self.looks == "nowhere":
            return None
        if self.looks == "lines":
            middle = cameras.centres.norm(dim=-1)[:, None, None]  # all rays pass the origin at about this depth
            depth = middle.expand(depth.shape)
        made = network.segments(cameras, photo_cameras, depth, targets, jittered=jittered)
        if self.looks == "lines":
            made[-1] = replace(made[-1], visible=torch.zeros_like(made[-1].visible))
        return made


VARIANTS = {
    "plain": Variant("nowhere"),
    "photo only": Variant("segments", network={"neighbours": 0}),
    "whole lines": Variant("lines", network=_LINE),
    "no noise": Variant("segments", DepthNoise(kind="none")),
    "independent noise": Variant("segments", DepthNoise(kind="independent")),
    "ours": Variant("segments"),
}


class VariantTraining(SmallEpipolarDecoderTraining):
    """Trains one of the variants for a number of steps.

    Args:
        variant: name of one.
        export: folder that the averaged network is saved to.
        steps: length of the schedule: variants that cost more are not to learn less.
        further: settings of the training.
    """

    def __init__(self, variant: str, export: str, steps: int, **further: Any) -> None:
        self.variant = VARIANTS[variant]
        super().__init__(export, depth_noise=self.variant.depth_noise, network=self.variant.network, **further)
        self.steps = steps

    def progress(self) -> float:
        """By steps."""
        return self.global_step / self.steps

    def write_export(self, folder: Path) -> None:
        """Saves the network; its plain decoder by itself, too, where it is all that was trained."""
        super().write_export(folder)
        if self.variant.looks == "nowhere":
            self.network.plain.save_pretrained(folder / "autoencoder")

    def segments(self, *inputs: Any, **settings: Any) -> list[Segments] | None:
        """Where this variant looks."""
        return self.variant.segments(self.network, *inputs, **settings)
