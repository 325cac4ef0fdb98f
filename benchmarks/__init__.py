"""The suite: thin pytest tests, installed as `twins.suite`."""
