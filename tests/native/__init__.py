"""The native engine for itself: its table, its memory, its shards."""
