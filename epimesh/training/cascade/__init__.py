"""Trains the refiners of cascades, the published one and the small one."""
