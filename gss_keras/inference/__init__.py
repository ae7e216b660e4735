"""Score photos in overlapping windows and in several views."""
