"""One module per command: each is a function of a configuration."""
