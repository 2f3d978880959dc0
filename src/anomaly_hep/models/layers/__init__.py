"""Parts that more than one model may use."""
