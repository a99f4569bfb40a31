"""`epimesh serve`: a web page and an HTTP API for one photo at a time, with a queue before it."""
