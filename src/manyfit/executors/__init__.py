"""Executors say where trials run."""
