"""What runs a network: one file an engine, one line in ``registry``."""
