"""Runs trials on the driver that use Spark's executors."""
