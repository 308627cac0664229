"""Trials that run on the driver and use Spark's executors."""
