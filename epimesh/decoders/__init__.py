"""From latents to images."""

from epimesh.decoders.epipolar.depth_sources import CoarseDepth, GivenDepth
from epimesh.decoders.epipolar.small_stage import SmallEpipolarDecoder
from epimesh.decoders.epipolar.stage import EpipolarDecoder
from epimesh.decoders.grid import GridDecoder
from epimesh.decoders.rendered import RenderedPrior
from epimesh.decoders.vae import VaeDecoder

__all__ = [
    "CoarseDepth",
    "EpipolarDecoder",
    "GivenDepth",
    "GridDecoder",
    "RenderedPrior",
    "SmallEpipolarDecoder",
    "VaeDecoder",
]
