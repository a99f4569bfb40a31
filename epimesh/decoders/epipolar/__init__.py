"""Views that see each other while they are decoded: attention along depth-truncated epipolar lines (Tang et al.)."""
