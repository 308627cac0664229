"""Applies the models of groups to data."""
