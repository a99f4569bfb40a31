"""Scores for people: tables, pages and figures, beside published numbers."""
