"""Models of groups, called on data."""
