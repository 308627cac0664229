"""Trackers mirror a study for users: on the terminal, or in MLflow."""
