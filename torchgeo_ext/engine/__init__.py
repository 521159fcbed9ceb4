"""The process QGIS talks to: JSON lines in, JSON lines out, files for everything large."""
