"""Tests with the capture corpus."""
