"""Files to events and back, one module per published format; knows no torch."""
