"""Tune ML models: on a laptop, and with the same code on an Apache Spark cluster."""
