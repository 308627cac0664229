"""The record of a call on disk, and how a later call resumes from it."""
