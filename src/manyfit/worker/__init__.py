"""What travels to another machine: runs one trial after another and reports home."""
