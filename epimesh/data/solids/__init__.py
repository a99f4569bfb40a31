"""Objects as photos beside points that are known to lie inside or outside of them: what a volume prior learns from."""
