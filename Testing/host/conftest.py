"""The host is started anew for each test."""

from Testing.SlicerHost.fixture import host

__all__ = ["host"]
