"""Matchers by topic. The table of applications names them; nothing else calls them."""
