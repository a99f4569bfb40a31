"""Answers that cost nothing; a generator has to beat them."""
