"""Code to workers: what an objective needs from the project, and what must be there already."""
