"""From batches to losses and scores; independent of files, configuration and logger."""
