"""The result of a call: tables, summaries, advice and plots."""
