"""One module per command: `run(config)` does it, config being plain values."""
