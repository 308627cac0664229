"""What more slots would bring a study: predicted by running its record again, in virtual time."""
