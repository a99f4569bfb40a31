"""Where the camera of a photo stands above the object's horizon."""
