"""Code for workers: the modules to send, and the packages that must be installed there."""
