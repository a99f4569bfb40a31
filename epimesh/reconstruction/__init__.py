"""From images to a surface, and from a surface to triangles."""
