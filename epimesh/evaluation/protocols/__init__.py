"""Who is asked about which objects, and what is noted."""
