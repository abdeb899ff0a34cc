"""Readers that look at a file and never run anything in it."""
