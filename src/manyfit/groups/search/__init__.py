"""The search inside one group, or jointly over groups."""
