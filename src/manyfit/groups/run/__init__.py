"""Where groups run: on this machine or on Spark."""
