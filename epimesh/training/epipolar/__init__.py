"""Trains epipolar decoders, the published one and the small one."""
