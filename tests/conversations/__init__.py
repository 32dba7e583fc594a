"""Conversations and applications, on both engines."""
