"""What commands show of a state: tables for people, JSON lines for programs.

What it does not do: read a state (`state`), parse arguments (`commands`).
"""
