"""Sinks: the results of a run into files and streams.

What it does not do: account, choose what is worth an alert.
"""
