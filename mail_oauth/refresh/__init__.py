"""Refreshing: judging replies, choosing delays, claiming and saving. Imports no model."""
