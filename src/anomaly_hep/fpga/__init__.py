"""A trained encoder to integers, to firmware, and the proof that all of them agree."""
