"""Multi-contrast brain MR made from label maps of real heads, one subject a file."""
