"""Events to batches: features, jagged batches, and a stream that outlives a kill."""
