"""One volume of occupancy and colour from one photo: what the object probably looks like from everywhere."""
