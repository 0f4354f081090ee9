"""Graphs as text, for other programs and for people."""
