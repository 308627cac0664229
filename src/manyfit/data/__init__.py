"""Large data for workers: sent once per machine by the cheapest route, mapped into every slot."""
