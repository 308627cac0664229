"""Pictures: what is drawn (`chart` and its makers), apart from how (`figure`, `svg`)."""
