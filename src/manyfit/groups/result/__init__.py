"""What a call returns: tables, summaries, advice and plots."""
