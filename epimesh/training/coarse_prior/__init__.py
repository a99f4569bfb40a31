"""Trains the coarse prior."""
