"""Windows and pages; nothing here is needed to run an algorithm."""
