"""The Django project of the provider's process. Of it only `people` may be imported by tests."""
