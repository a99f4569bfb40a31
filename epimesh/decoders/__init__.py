"""From latents to images."""

from epimesh.decoders.epipolar.depth_sources import CoarseDepth, GivenDepth
from epimesh.decoders.epipolar.stage import EpipolarDecoder
from epimesh.decoders.vae import VaeDecoder

__all__ = ["CoarseDepth", "EpipolarDecoder", "GivenDepth", "VaeDecoder"]
