"""The search within one group."""
