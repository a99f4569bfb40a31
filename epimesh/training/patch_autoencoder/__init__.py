"""Trains the small autoencoder."""
