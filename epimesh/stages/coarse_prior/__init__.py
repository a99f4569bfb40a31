"""A first guess of all views in one pass: what the object looks like on average from everywhere, given the photo."""
