"""From an image file to a photo whose object is cut out and stands in its frame."""
