"""Large data to the workers: once per machine, by the cheapest route, mapped into every slot."""
