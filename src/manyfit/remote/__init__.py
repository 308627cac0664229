"""Workers in other processes or on other machines, and the driver's network."""
