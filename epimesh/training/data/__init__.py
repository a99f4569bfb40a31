"""Batches from packs of views, from disk or rendered while the training runs."""
