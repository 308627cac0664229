"""Tunes one model per group: thousands of small studies, each run where its rows are."""
