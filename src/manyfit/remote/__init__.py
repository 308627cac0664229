"""Runs workers on other machines, and the driver's network."""
