"""From a trained encoder to integers and firmware, with the proof that all of them agree."""
