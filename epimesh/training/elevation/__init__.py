"""Trains the network that tells a camera's elevation."""
