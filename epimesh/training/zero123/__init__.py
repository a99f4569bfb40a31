"""Trains the small view denoiser; holds what trainings of the published one see with."""
