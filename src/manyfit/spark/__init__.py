"""Runs trials on Apache Spark."""
