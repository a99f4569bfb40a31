"""The stages from photo to latents, and from mesh to textured mesh."""

from epimesh.stages.cut_out import CutOut

__all__ = ["CutOut"]
