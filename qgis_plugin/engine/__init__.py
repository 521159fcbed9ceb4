"""The engine: a Python process outside QGIS that does the work, and how to reach it.

Nothing in this folder needs QGIS, so all of it can be tested with any Python.
"""
