"""Batches to losses and scores; knows no files, no configuration and no logger."""
