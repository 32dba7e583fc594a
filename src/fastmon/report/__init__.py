"""Sinks: what shows the results of a run, each in its own format.

What it does not do: account, decide what is worth an alert, or open files (except the log, which rotates its own).
"""
