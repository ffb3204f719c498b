"""MatcherService: listings in, canonical events out, each batch under one config revision."""
