"""Read and write ROOT trees of numbers and lists of numbers as flat arrays."""
