"""Where it is used: a server with a web page, and many photos at once."""
