"""Contract suites and fakes for authors of executors, journals, pruners, samplers and trackers."""
