"""The report: one HTML file that needs no network, for a study or a call of `tune_groups`."""
