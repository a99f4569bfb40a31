"""Measures of views and shapes: how far an answer is from the truth."""
