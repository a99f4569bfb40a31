"""Zero123++: six views of a photo in one picture, by a UNet that reads the photo in its self-attention."""
