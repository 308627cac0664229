"""Advice on a study: before it runs, and on its results."""
