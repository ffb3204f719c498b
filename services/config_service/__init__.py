"""ConfigService: the settings of the matcher, versioned, sealed and streamed."""
