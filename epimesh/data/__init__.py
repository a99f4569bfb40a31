"""Objects, real and procedural, and their rendered views."""
