"""Views that exist, made more probable along the way that they came."""
