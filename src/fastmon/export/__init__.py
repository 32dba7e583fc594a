"""Exports: data that leaves a run for files of its own.

What it does not do: show results; `report` does.
"""
