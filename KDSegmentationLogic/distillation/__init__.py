"""The catalogue of distillation terms, and where soft targets come from. Knows torch."""
