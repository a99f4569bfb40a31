"""From latents to images."""

from epimesh.decoders.vae import VaeDecoder

__all__ = ["VaeDecoder"]
