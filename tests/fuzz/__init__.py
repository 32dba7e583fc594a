"""Captures with random damage: never a crash, and the same from both engines."""
