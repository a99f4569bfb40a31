"""How good is it: images, shapes, baselines, reports."""
