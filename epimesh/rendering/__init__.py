"""Pictures of meshes and surfaces: rays, triangles, spheres, turntables. No OpenGL, no window."""
