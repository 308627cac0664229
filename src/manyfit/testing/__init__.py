"""Contract suites and fakes for those who write executors, journals, pruners, samplers, trackers."""
