"""From latents to images."""
