"""Inputs that people described, each with what is right."""
