"""Contract suites and fakes, for whoever writes an executor, journal, pruner, sampler, tracker."""
