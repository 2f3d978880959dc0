"""ROOT trees of numbers and lists of numbers to flat arrays and back."""
