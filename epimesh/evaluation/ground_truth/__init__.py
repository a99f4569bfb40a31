"""Objects of which all sides are known."""
