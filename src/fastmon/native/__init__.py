"""The native parts: headers that are compiled into the extensions.

What it does not do: account; `_accounting` does.
"""
