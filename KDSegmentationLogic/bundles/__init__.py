"""Model bundles: described, written, verified, listed, imported. Listing needs the standard library only."""
