"""The pure-Python twin of the native accountant: the same results, from the reference decoder, dicts and lists.

It is written to be compared with, not to be fast. What it does not do: share code with the native accountant.
"""

from fastmon.reference.accountant import FRAMES_PER_READ, ReferenceAccountant

__all__ = ["FRAMES_PER_READ", "ReferenceAccountant"]
