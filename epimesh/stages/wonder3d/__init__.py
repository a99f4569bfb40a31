"""Wonder3D: six orthographic views of a photo, in colour and in normals, denoised together."""
