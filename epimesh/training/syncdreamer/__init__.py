"""Trains joint denoisers, the published one and the small one."""
