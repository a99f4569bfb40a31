"""The stages from photo to latents, and from mesh to textured mesh."""
