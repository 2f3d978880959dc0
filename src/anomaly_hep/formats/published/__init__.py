"""Fetch published archives, verify and unpack them, and mark their files as published."""
