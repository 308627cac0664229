"""The journal is the study's record, and the truth."""
