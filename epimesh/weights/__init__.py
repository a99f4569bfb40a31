"""Weights of models: where they are, what is published, and how a folder becomes a network, every key checked."""

from epimesh.weights.sources import BUNDLED, identity, resolve, source_of

__all__ = ["BUNDLED", "identity", "resolve", "source_of"]
