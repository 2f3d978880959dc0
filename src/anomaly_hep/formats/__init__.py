"""From files to events and back, one module per published format; never imports torch."""
