"""One module per paper: its metrics, remarks and figures, with a CSV file of its published rows."""
