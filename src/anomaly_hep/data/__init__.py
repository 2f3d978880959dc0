"""From events to batches: features, jagged batches, and a stream that resumes after a kill."""
