"""The journal: the authoritative record of a study."""
