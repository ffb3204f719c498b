"""The pure matching engine: listings and a config in, canonical events out."""
