"""Makes captures whose totals are known because of how they were built, never by decoding them.

What it does not do: use anything of fastmon. Used by `pcaps/generate.py`.
"""
