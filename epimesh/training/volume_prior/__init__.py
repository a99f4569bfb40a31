"""Trains the volume prior."""
