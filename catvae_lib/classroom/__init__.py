"""Calibrated checks, claims and figures. Notebooks and tests import them; the library does not."""
