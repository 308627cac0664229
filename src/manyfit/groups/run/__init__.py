"""Runs groups, on this machine or on Spark."""
