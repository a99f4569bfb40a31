"""Views that were taken, not imagined: images with cameras, and depth, from files."""
