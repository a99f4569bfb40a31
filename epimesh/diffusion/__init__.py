"""Diffusion and autoencoders, independent of any stage."""
