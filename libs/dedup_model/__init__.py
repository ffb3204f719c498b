"""The nouns both services share: settings, snapshots and errors, free of any transport."""
