"""`event-dedup`: the people's client."""
