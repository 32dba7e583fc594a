"""The reader of capture files: formats, times, damage, and what the bytes come from."""
