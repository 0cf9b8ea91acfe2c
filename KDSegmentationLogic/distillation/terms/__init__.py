"""One file a distillation term, one line each in ``catalogue``."""
