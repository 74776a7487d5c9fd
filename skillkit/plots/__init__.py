"""One function per kind of plot."""
