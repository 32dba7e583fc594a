"""The values that everyone shares: hosts, snapshots, names, conversations, frames, and their texts.

What it does not do: read, decode, account, show or store anything.
"""
