"""Packs of rendered views: what trainings read, made from objects, on disk or while a training runs."""
