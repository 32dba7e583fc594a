"""Rules: what is worth an alert.

What it does not do: keep time, read, print or send anything.
"""
