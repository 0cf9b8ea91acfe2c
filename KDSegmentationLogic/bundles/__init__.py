"""Model bundles: described, written, verified, listed and imported.

Listing, showing and checking them needs the standard library only.
"""
