"""One thin file a verb: arguments in, one call into a room, words or JSON out."""
