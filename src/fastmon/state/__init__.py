"""What survives a restart: one SQLite file, and the thread that writes it.

What it does not do: decide what is worth keeping (`policy` does).
"""
