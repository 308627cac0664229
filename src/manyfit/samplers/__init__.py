"""Samplers propose params."""
