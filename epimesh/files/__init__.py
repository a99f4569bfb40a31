"""What is read from disk and written to it: pictures, meshes, and nothing half-written."""
