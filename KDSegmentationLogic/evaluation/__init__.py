"""Metrics per case and structure, and the tables made of them. Knows numpy and scipy."""
