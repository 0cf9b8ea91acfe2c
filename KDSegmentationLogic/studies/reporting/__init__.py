"""A study's report: what is in it, how it is worked out, how it is drawn and written."""
