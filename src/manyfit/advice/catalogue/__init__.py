"""The parameters of well-known libraries: what each is for, and a sensible range."""
