"""The kdseg command line, one file a command."""
