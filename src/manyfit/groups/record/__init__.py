"""What is on disk of a call, and what a later call makes of it."""
