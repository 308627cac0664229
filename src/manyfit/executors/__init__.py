"""Executors run trials: on this thread, in threads, or in processes."""
