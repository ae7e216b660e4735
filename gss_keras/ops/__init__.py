"""Backend-agnostic tensor operations."""
