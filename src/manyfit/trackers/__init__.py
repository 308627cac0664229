"""Trackers mirror a study for people to look at."""
