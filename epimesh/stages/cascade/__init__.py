"""Cascade-Zero123: a generator whose views prompt a second one."""
