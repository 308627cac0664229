"""Faults planted in a copy of the library: how many of them the tests find. See ../README.md."""
