"""Alerts to people and programs: records of alerts, and the actions that take them.

What it does not do: decide what is worth an alert (`policy`), keep what could not be delivered (`state`).
"""
