"""The values that all parts share: snapshots, hosts, names, conversations, frames, and their texts.

What it does not do: read, decode, account, show or store anything.
"""
