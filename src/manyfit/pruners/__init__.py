"""Pruners end hopeless trials."""
