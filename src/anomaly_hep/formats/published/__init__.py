"""Published archives: fetched, verified, unpacked, and marked as published."""
