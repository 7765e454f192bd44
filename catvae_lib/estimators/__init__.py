"""Gradient estimators for discrete codes: functions of a code, given the right gradient."""
