"""From published latent-diffusion checkpoints to folders in diffusers format, with every key accounted for."""
