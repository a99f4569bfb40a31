"""SyncDreamer: all views of a ring denoised together, tied by a volume of features that every step builds anew."""
