"""What `run.py` and `compare.py` share: cases, their inputs, measuring child processes, checking answers."""
