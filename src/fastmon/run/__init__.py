"""One run: the loop that drains sources, rotates the accountant, and tells subscribers what happened.

What it does not do: show or store anything.
"""
