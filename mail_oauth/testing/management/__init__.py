"""Management commands of the testing kit."""
