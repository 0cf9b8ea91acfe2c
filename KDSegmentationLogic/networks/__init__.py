"""Pure constructors of every architecture, by name and keyword arguments. Knows torch."""
